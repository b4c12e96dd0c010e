//! Files that are taken for models and are none.

use super::manifest::ModelKind;

/// What a file that is no model of this kind is, and what to save instead; `None` where nothing is known of it.
pub fn find(file: &[u8], kind: ModelKind) -> Option<&'static str> {
    let text = file.trim_ascii_start();
    let begins = |head: &str| text.starts_with(head.as_bytes());
    // A dump begins with an array of nodes, or an object that the file of a model does not have.
    let head = &text[..text.len().min(200)];
    let has = |what: &str| head.windows(what.len()).any(|window| window == what.as_bytes());
    Some(match file {
        [0x80, 2..=5, ..] => "is a pickle, which only Python reads: save the model with `save_model`",
        [0x1f, 0x8b, ..]
        | [0x28, 0xb5, 0x2f, 0xfd, ..]
        | [b'B', b'Z', b'h', ..]
        | [0xfd, b'7', b'z', b'X', b'Z', ..] => "is compressed: unpack it, the library's own file is not",
        [b'P', b'K', 3, 4, ..] => "is a zip archive: unpack it, the library's own file is not packed",
        [b'b', b'i', b'n', b'f', ..] | [b'b', b's', b'6', b'4', ..] => {
            "is of XGBoost's binary format before 1.0: load it there and save it with `save_model` as JSON or UBJSON"
        }
        _ if file.get(257..262) == Some(b"ustar") => "is a tar: unpack it, the library's own file is not packed",
        _ if begins("booster[") || begins("0:[") || begins("0:leaf=") || begins("[") && has("\"nodeid\"") => {
            "is a dump (`dump_model`), which is for reading: save the model with `save_model`"
        }
        _ if begins("{") && has("\"num_tree_per_iteration\"") => {
            "is a dump (`dump_model`), which is for reading: save the model with `save_model`, as text"
        }
        _ if kind != ModelKind::LightGBM && (begins("tree\n") || begins("tree\r\n")) => {
            "is a text model of LightGBM: `kind` is \"lightgbm\""
        }
        _ if kind != ModelKind::XGBoost && begins("{") && has("learner") => {
            "is a model of XGBoost: `kind` is \"xgboost\""
        }
        _ if kind != ModelKind::Linear && begins("{") && has("\"gavel-linear-1\"") => {
            "is a linear model: `kind` is \"linear\""
        }
        _ => return None,
    })
}
