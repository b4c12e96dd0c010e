//! A Rust file as the rules see it: its code without comments and texts, and which lines are tests.

use std::collections::BTreeSet;

pub struct File {
    /// From the repository's root, with `/`.
    pub path: String,
    pub raw: Vec<String>,
    /// As `raw`, line for line, with comments and the insides of texts blanked.
    pub code: Vec<String>,
    /// Lines under `#[cfg(test)]` or `#[test]`.
    pub test: Vec<bool>,
    /// Texts with the line they begin on, from 0.
    pub texts: Vec<(usize, String)>,
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        let (code, texts) = blank(text);
        let code: Vec<String> = code.split('\n').map(str::to_owned).collect();
        let test = test_lines(&code);
        File { path: path.into(), raw: text.split('\n').map(str::to_owned).collect(), code, test, texts }
    }

    /// Lines of code with their numbers from 0; without tests unless asked for.
    pub fn lines(&self, with_tests: bool) -> impl Iterator<Item = (usize, &str)> {
        let all = self.code.iter().map(String::as_str).enumerate();
        all.filter(move |(line, _)| with_tests || !self.test[*line])
    }

    /// The file's directory for its own modules: `a/b` for `a/b.rs` and `a/b/mod.rs`.
    fn module_dir(&self) -> &str {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        ["/mod", "/lib", "/main"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(stem)
    }

    /// Whether a comment on the line, or in the block of comments right above its statement, holds one of the words.
    pub fn explained(&self, line: usize, words: &[&str]) -> bool {
        let holds = |line: usize| words.iter().any(|word| self.raw[line].contains(word));
        if holds(line) {
            return true;
        }
        let mut above = line;
        // A chain of calls belongs to the line that begins it.
        while above > 0 && self.raw[above].trim_start().starts_with('.') {
            above -= 1;
            if holds(above) {
                return true;
            }
        }
        while above > 0 {
            above -= 1;
            let text = self.raw[above].trim_start();
            if !text.starts_with("//") && !text.starts_with("#[") {
                return false;
            }
            if holds(above) {
                return true;
            }
        }
        false
    }
}

/// Marks the files that are modules under `#[cfg(test)]`, and everything below them.
pub fn mark_test_modules(files: &mut [File]) {
    let mut dirs = BTreeSet::new();
    for file in files.iter() {
        for (_, code) in file.lines(true).filter(|(line, _)| file.test[*line]) {
            dirs.extend(external_module(code).map(|name| format!("{}/{name}", file.module_dir())));
        }
    }
    for file in files {
        if dirs.iter().any(|dir| file.path == format!("{dir}.rs") || file.path.starts_with(&format!("{dir}/"))) {
            file.test.fill(true);
        }
    }
}

/// The name in `mod name;`.
fn external_module(code: &str) -> Option<&str> {
    let (before, name) = code.trim().strip_suffix(';')?.rsplit_once("mod ")?;
    (before.is_empty() || before.ends_with(' ') && before.starts_with("pub")).then_some(name.trim())
}

fn test_lines(code: &[String]) -> Vec<bool> {
    let mut test = vec![false; code.len()];
    for line in 0..code.len() {
        let text = code[line].trim_start();
        if text.starts_with("#![cfg(test)]") {
            test.fill(true);
        }
        if !["#[cfg(test)]", "#[cfg(all(test", "#[test]"].iter().any(|attribute| text.starts_with(attribute)) {
            continue;
        }
        let end = item_end(code, line);
        test[line..=end].fill(true);
    }
    test
}

/// The last line of the item that begins on a line: its closing brace, or a semicolon before any brace.
pub fn item_end(code: &[String], line: usize) -> usize {
    let (mut braces, mut brackets) = (0i32, 0i32);
    for (at, text) in code.iter().enumerate().skip(line) {
        for c in text.chars() {
            match c {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets -= 1,
                '{' => braces += 1,
                '}' => braces -= 1,
                _ => continue,
            }
            if c == '}' && braces == 0 {
                return at;
            }
        }
        if braces == 0 && brackets == 0 && text.trim_end().ends_with(';') {
            return at;
        }
    }
    line
}

/// Code with comments and the insides of texts and characters turned into spaces, and the texts.
fn blank(text: &str) -> (String, Vec<(usize, String)>) {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut out, mut texts) = (String::with_capacity(text.len()), Vec::new());
    let (mut i, mut line) = (0, 0);
    let hide = |c: char| if c == '\n' { '\n' } else { ' ' };
    while i < chars.len() {
        let from = i;
        let word_before = i > 0 && (at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        let raw_prefix = !word_before || "bc".contains(at(i - 1)) && !(i > 1 && at(i - 2).is_alphanumeric());
        let hashes = (i + 1..).take_while(|&j| at(j) == '#').count();
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
                out.extend(chars[from..i].iter().map(|&c| hide(c)));
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 {
                        break;
                    }
                }
                i = i.min(chars.len());
                out.extend(chars[from..i].iter().map(|&c| hide(c)));
            }
            'r' if raw_prefix && at(i + 1 + hashes) == '"' => {
                let start = i + hashes + 2;
                let ends = |j: usize| at(j) == '"' && (1..=hashes).all(|k| at(j + k) == '#');
                let end = (start..chars.len()).find(|&j| ends(j)).unwrap_or(chars.len());
                texts.push((line, chars[start.min(end)..end].iter().collect()));
                i = (end + 1 + hashes).min(chars.len());
                out.push('"');
                out.extend(chars[from + 1..i].iter().map(|&c| hide(c)));
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                let end = i.min(chars.len());
                texts.push((line, chars[from + 1..end].iter().collect()));
                i = (end + 1).min(chars.len());
                out.push('"');
                out.extend(chars[from + 1..end].iter().map(|&c| hide(c)));
                out.push('"');
            }
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i = (i + 1).min(chars.len());
                out.push('\'');
                out.extend(chars[from + 1..i].iter().map(|&c| hide(c)));
            }
            c => {
                out.push(c);
                i += 1;
            }
        }
        line += chars[from..i].iter().filter(|&&c| c == '\n').count();
    }
    (out, texts)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `needle` stands in `code`, not as a part of a longer word.
pub fn find_word(code: &str, needle: &str) -> Option<usize> {
    code.match_indices(needle).map(|(at, _)| at).find(|&at| {
        let (before, after) = (code[..at].chars().next_back(), code[at + needle.len()..].chars().next());
        let starts = !needle.starts_with(is_word) || !before.is_some_and(is_word);
        let ends = !needle.ends_with(is_word) || !after.is_some_and(is_word);
        starts && ends
    })
}

/// The first names after `root::` in a line, those of a `{...}` group included.
pub fn names_after<'c>(code: &'c str, root: &str) -> Vec<&'c str> {
    let mut names = Vec::new();
    let needle = format!("{root}::");
    let mut rest = code;
    while let Some(at) = find_word(rest, &needle) {
        rest = &rest[at + needle.len()..];
        let first_word = |text: &'c str| {
            let text = text.trim_start();
            &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
        };
        let Some(group) = rest.strip_prefix('{') else {
            names.push(first_word(rest));
            continue;
        };
        let (mut depth, mut item) = (1, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    names.push(first_word(&group[item..]));
                    item = at + 1;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        names.push(first_word(&group[item..]));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Statements that rustfmt spread over lines (`use a::{`, ..., `};`) put back on the line they begin on.
pub fn joined_uses(file: &File) -> Vec<(usize, String)> {
    let mut out: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (line, code) in file.lines(true) {
        match out.last_mut() {
            Some((_, statement)) if open => statement.push_str(code.trim()),
            _ => out.push((line, code.to_owned())),
        }
        let statement = out.last().map_or("", |(_, s)| s.trim_start());
        let is_use = statement.starts_with("use ") || statement.starts_with("pub") && statement.contains(" use ");
        open = is_use && !statement.ends_with(';');
    }
    out
}

#[test]
fn the_blanked_file_keeps_its_lines_and_code() {
    let file = File::new(
        "src/a.rs",
        "let a = \"tokio // \\\" x\"; // hyper\n/* async\n /* x */ */ let b = r#\"a\"b\n\"#; let c = b'\"'; let d: &'a str;\n'\\''; x",
    );
    let squeezed: Vec<String> = file.code.iter().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        squeezed,
        ["let a = \" \";", "", "let b = \"", "; let c = b' ; let d: &'a str;", "' ; x"].map(|s| s.to_owned())
    );
    assert_eq!(file.texts, [(0, "tokio // \\\" x".to_owned()), (2, "a\"b\n".to_owned())]);
    assert_eq!(file.raw.len(), file.code.len());
}

#[test]
fn tests_are_told_from_code() {
    let text =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { {} }\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}";
    let mut files = [File::new("src/x.rs", text), File::new("src/x/more.rs", "fn e() {}"), File::new("src/y.rs", "")];
    assert_eq!(files[0].test, [false, true, true, true, true, false, true, true, false]);
    mark_test_modules(&mut files);
    assert_eq!((files[1].test[0], files[2].test[0]), (true, false));
}

#[test]
fn names_are_read_from_paths_and_groups() {
    assert_eq!(names_after("use crate::{ids::{A, B}, money};", "crate"), ["ids", "money"]);
    assert_eq!(names_after("crate::a::b(mycrate::c, crate::d)", "crate"), ["a", "d"]);
    let file = File::new("src/a.rs", "use crate::{\n    ids::A,\n    money,\n};\nx");
    assert_eq!(joined_uses(&file), [(0, "use crate::{ids::A,money,};".to_owned()), (4, "x".to_owned())]);
    assert_eq!(names_after(&joined_uses(&file)[0].1, "crate"), ["ids", "money"]);
    assert!(find_word("let tracing_id", "tracing").is_none() && find_word("tracing::info!()", "tracing").is_some());
}
