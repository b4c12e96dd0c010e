//! Currencies that an amount may be in (ISO 4217).

use crate::ids::Currency;

/// In alphabetical order.
const CODES: &str = "AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBOVBRLBSDBTNBWPBYNBZDCADCDFCHECHFCHW\
                     CLFCLPCNYCOPCOUCRCCUPCVECZKDJFDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGNFGTQGYDHKDHNLHTGHUF\
                     IDRILSINRIQDIRRISKJMDJODJPYKESKGSKHRKMFKPWKRWKWDKYDKZTLAKLBPLKRLRDLSLLYDMADMDLMGAMKDMMKMNTMOP\
                     MRUMURMVRMWKMXNMXVMYRMZNNADNGNNIONOKNPRNZDOMRPABPENPGKPHPPKRPLNPYGQARRONRSDRUBRWFSARSBDSCRSDG\
                     SEKSGDSHPSLESOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTNDTOPTRYTTDTWDTZSUAHUGXUSDUSNUYIUYUUYWUZSVEDVESVND\
                     VUVWSTXAFXCDXCGXOFXPFYERZARZMWZWG";

/// The number of a currency among them, from 1.
pub fn number(currency: Currency) -> Option<u8> {
    let codes: &[[u8; 3]] = CODES.as_bytes().as_chunks().0;
    codes.binary_search(&currency.0).ok().map(|at| at as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_are_known_or_not() {
        assert!(CODES.len().is_multiple_of(3) && CODES.len() / 3 < 255);
        assert!(CODES.as_bytes().chunks(3).is_sorted_by(|a, b| a < b));
        assert_eq!(number(Currency(*b"AED")), Some(1));
        assert!(number(Currency::USD).is_some() && number(Currency(*b"ZWG")).is_some());
        assert_eq!(number(Currency(*b"XXX")), None);
    }
}
