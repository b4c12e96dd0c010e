//! Writes one Parquet file, hashing what is written.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};

use super::column::Column;
use super::table::{Field, Form, schema};
use super::{ArchiveError, hex};

/// The key under which a file tells its version.
pub const VERSION_KEY: &str = "gavel.version";

/// A file that is being written.
pub struct Hashed {
    file: BufWriter<File>,
    sha256: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A Parquet file, open for row groups.
pub struct Place {
    path: PathBuf,
    writer: SerializedFileWriter<Hashed>,
}

/// A file that is whole and on the disk.
pub struct Written {
    pub bytes: u64,
    pub sha256: String,
}

/// The columns of a table, empty.
pub fn fields_of(columns: &[Field]) -> Vec<Column> {
    columns.iter().map(|field| Column::new(field.form)).collect()
}

/// Begins a file of a table that has these columns in this version.
pub fn create(path: &Path, table: &str, columns: &[Field], version: u32) -> Result<Place, ArchiveError> {
    let file = File::create(path).map_err(ArchiveError::io("create", path))?;
    let hashed = Hashed { file: BufWriter::with_capacity(1 << 20, file), sha256: Sha256::new(), bytes: 0 };
    let schema = parse_message_type(&schema(table, columns)).map_err(|e| ArchiveError::damaged(table, e))?;
    let writer = SerializedFileWriter::new(hashed, Arc::new(schema), Arc::new(properties(columns, version)));
    Ok(Place { path: path.to_owned(), writer: writer.map_err(failed(path))? })
}

fn failed(path: &Path) -> impl Fn(parquet::errors::ParquetError) -> ArchiveError {
    let doing = format!("write {}", path.display());
    move |error| ArchiveError::Io { doing: doing.clone(), source: io::Error::other(error) }
}

/// How the columns are packed: what grows as differences, numbers that differ from row to row plainly, and everything
/// else by a dictionary.
fn properties(columns: &[Field], version: u32) -> WriterProperties {
    let version = KeyValue::new(VERSION_KEY.to_owned(), version.to_string());
    let mut properties = WriterProperties::builder()
        .set_created_by("gavel".to_owned())
        .set_key_value_metadata(Some(vec![version]))
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true);
    for field in columns {
        let path = ColumnPath::from(field.name);
        match field.form {
            Form::Rising | Form::Time => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            Form::U64 if field.name == "offset" => {
                properties = properties
                    .set_column_dictionary_enabled(path.clone(), false)
                    .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
            }
            Form::U64 | Form::Fixed(_) | Form::Bytes | Form::Rest | Form::Shown => {
                properties = properties.set_column_dictionary_enabled(path, false);
            }
            _ => {}
        }
    }
    properties.build()
}

impl Place {
    /// Writes a row group: all columns, of the same number of rows.
    pub fn write(&mut self, columns: &[Column]) -> Result<(), ArchiveError> {
        let mut write = |columns: &[Column]| {
            let mut group = self.writer.next_row_group()?;
            let mut columns = columns.iter();
            while let Some(mut writer) = group.next_column()? {
                if let Some(column) = columns.next() {
                    column.write(&mut writer)?;
                }
                writer.close()?;
            }
            group.close()?;
            Ok(())
        };
        write(columns).map_err(failed(&self.path))
    }

    /// Writes the footer and syncs the file.
    pub fn close(self) -> Result<Written, ArchiveError> {
        let hashed = self.writer.into_inner().map_err(failed(&self.path))?;
        let file = hashed.file.into_inner().map_err(|e| ArchiveError::io("write", &self.path)(e.into_error()))?;
        file.sync_all().map_err(ArchiveError::io("sync", &self.path))?;
        Ok(Written { bytes: hashed.bytes, sha256: hex(&hashed.sha256.finalize()) })
    }
}
