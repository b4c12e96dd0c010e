//! The table of models: which versions are in force. Digests are hexadecimal digits.

use rusqlite::types::Type;
use rusqlite::{Error, Row, params};

use super::checksum::Rows;
use crate::event::{ModelVersion, ModelsSet};

pub fn save(rows: &mut Rows, set: &ModelsSet) -> Result<(), Error> {
    let version = |role: &Option<ModelVersion>| role.as_ref().map(|v| v.version.clone());
    let digest = |role: &Option<ModelVersion>| role.as_ref().map(|v| hex(&v.digest));
    let ModelsSet { name, active, shadow, previous } = set;
    let [a, s, p] = [active, shadow, previous];
    let (av, ad, sv, sd, pv, pd) = (version(a), digest(a), version(s), digest(s), version(p), digest(p));
    rows.put("models", &["name"], params![name, av, ad, sv, sd, pv, pd])
}

pub fn read(row: &Row) -> Result<(String, ModelsSet), Error> {
    let version = |at: usize| -> Result<Option<ModelVersion>, Error> {
        let (version, digest): (Option<String>, Option<String>) = (row.get(at)?, row.get(at + 1)?);
        let Some(version) = version else { return Ok(None) };
        let digest = digest
            .as_deref()
            .and_then(unhex)
            .ok_or_else(|| Error::FromSqlConversionFailure(at + 1, Type::Text, "is no digest".into()))?;
        Ok(Some(ModelVersion { version, digest }))
    };
    let name: String = row.get(0)?;
    Ok((name.clone(), ModelsSet { name, active: version(1)?, shadow: version(3)?, previous: version(5)? }))
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    (digits.len() == 64).then(|| std::array::from_fn(|i| digits[2 * i] << 4 | digits[2 * i + 1]))
}
