//! An artifact as it is uploaded: its folder's files as a tar, at its root.

use tar::{Archive, EntryType};

use super::folder::MANIFEST;

/// Entries that are looked at: a manifest, a model file, and what archivers add.
const MAX_ENTRIES: usize = 16;

/// A file of a tar by its name, where it stands.
pub type File<'t> = (String, &'t [u8]);

/// The manifest of a tar, and its other files.
pub fn unpack(tar: &[u8]) -> Result<(&str, Vec<File<'_>>), String> {
    if matches!(tar, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [b'P', b'K', 3, 4, ..]) {
        return Err("the body is compressed: it must be the tar itself".to_owned());
    }
    let malformed = |error: std::io::Error| format!("the body is no tar: {error}");
    let (mut manifest, mut files) = (None, Vec::<File>::new());
    let mut archive = Archive::new(tar);
    for (number, entry) in archive.entries().map_err(malformed)?.enumerate() {
        let entry = entry.map_err(malformed)?;
        if number == MAX_ENTRIES {
            return Err(format!("the tar has more than {MAX_ENTRIES} entries"));
        }
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| "a name in the tar is not UTF-8")?;
        let name = path.strip_prefix("./").unwrap_or(&path).to_owned();
        match entry.header().entry_type() {
            EntryType::Directory if name.is_empty() || name == "." => continue,
            EntryType::XGlobalHeader => continue,
            EntryType::Regular | EntryType::Continuous if !name.contains('/') && !name.is_empty() => {}
            _ => return Err(format!("{path:.80}: the tar holds files at its root and nothing else")),
        }
        let (from, size) = (entry.raw_file_position(), entry.size());
        let content = usize::try_from(from).ok().zip(usize::try_from(size).ok());
        let content = content.and_then(|(from, size)| tar.get(from..from.checked_add(size)?));
        let content = content.ok_or_else(|| format!("{path:.80}: the tar ends in the middle of it"))?;
        if name == MANIFEST {
            let text = std::str::from_utf8(content).map_err(|_| format!("{MANIFEST}: is not UTF-8"))?;
            if manifest.replace(text).is_some() {
                return Err(format!("{MANIFEST}: is in the tar twice"));
            }
        } else if files.iter().any(|(other, _)| *other == name) {
            return Err(format!("{name:.80}: is in the tar twice"));
        } else {
            files.push((name, content));
        }
    }
    let manifest = manifest.ok_or_else(|| format!("there is no {MANIFEST} at the root of the tar"))?;
    Ok((manifest, files))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn files_at_the_root_are_read_where_they_stand() {
        let bytes = tar(&[("./manifest.toml", b"name = 1"), ("model.json", &[7; 1_000])]);
        let (manifest, files) = unpack(&bytes).unwrap();
        assert_eq!(manifest, "name = 1");
        assert_eq!(files, [("model.json".to_owned(), &[7; 1_000][..])]);
    }

    #[test]
    fn what_is_no_folder_of_files_is_refused() {
        let good: (&str, &[u8]) = ("manifest.toml", b"x");
        for (files, what) in [
            (&[("a", &b"x"[..])][..], "there is no manifest.toml"),
            (&[good, good][..], "twice"),
            (&[good, ("a", b"1"), ("./a", b"2")][..], "twice"),
            (&[good, ("../a", b"1")][..], "at its root"),
            (&[good, ("/etc/a", b"1")][..], "at its root"),
            (&[good, ("dir/a", b"1")][..], "at its root"),
            (&[("manifest.toml", &b"\xff"[..])][..], "not UTF-8"),
        ] {
            let refused = unpack(&tar(files)).unwrap_err();
            assert!(refused.contains(what), "{what}: {refused}");
        }
        assert!(unpack(&[0x1f, 0x8b, 8, 0, 0]).unwrap_err().contains("is compressed"));
        let many: Vec<(String, Vec<u8>)> = (0..20).map(|i| (format!("f{i}"), vec![])).collect();
        let many: Vec<(&str, &[u8])> = many.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
        assert!(unpack(&tar(&many)).unwrap_err().contains("more than 16"));
        for bytes in [&b""[..], b"{}", &[0; 5_000], &[0xff; 5_000]] {
            assert!(unpack(bytes).is_err());
        }
        let whole = tar(&[good, ("model.json", &[7; 5_000])]);
        for cut in [100, 511, 700, 1_100, 3_000] {
            assert!(unpack(&whole[..cut]).is_err(), "cut at {cut}");
        }
        // A link, and a size that no tar has.
        let mut link = whole.clone();
        link[1_024 + 156] = b'2';
        let mut huge = whole;
        huge[1_024 + 124..1_024 + 136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
        for mut bytes in [link, huge] {
            let mut header = tar::Header::from_byte_slice(&bytes[1_024..1_536]).clone();
            header.set_cksum();
            bytes[1_024..1_536].copy_from_slice(header.as_bytes());
            assert!(unpack(&bytes).is_err());
        }
    }
}
