//! The oracle: a bid request read with serde_json and tables of fields, field by field in the order in which they stand.
//!
//! serde_json says what is JSON and what its texts and numbers are. What is tolerated is said here a second time.

use serde_json::{Map, Value, json};

use super::node::As::*;
use super::node::{Kind, Node, Rule, Table, WRONG_TYPE, absent, ext, fall_back, object, text, whole_object};

pub enum Verdict {
    /// Deeper than serde_json goes, or with a number at the edge of f64, which it rounds in steps.
    NotComparable,
    NotUtf8,
    NotJson,
    /// The rule that it breaks, as the counter names it.
    Refused(&'static str),
    /// Every field that is read, by its name.
    Accepted(Value),
}

pub fn read(body: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(body) else { return Verdict::NotUtf8 };
    if is_deep(text) || is_at_the_edge(text) {
        return Verdict::NotComparable;
    }
    if serde_json::from_str::<Value>(text).is_err() {
        return Verdict::NotJson;
    }
    match request(&Node::of(text)) {
        Ok(value) => Verdict::Accepted(value),
        Err(rule) => Verdict::Refused(rule),
    }
}

fn is_deep(text: &str) -> bool {
    let mut depth = 0i32;
    text.bytes().any(|byte| {
        depth += i32::from(matches!(byte, b'[' | b'{')) - i32::from(matches!(byte, b']' | b'}'));
        depth > 100
    })
}

fn is_at_the_edge(text: &str) -> bool {
    let numbers = text.split(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    let mut parsed = numbers.filter(|n| n.len() > 3).filter_map(|n| n.parse::<f64>().ok());
    parsed.any(|x| x.is_infinite() || x.abs() > 1.7e308)
}

fn request(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("id", Id),
        ("imp", Object(imps)),
        ("device", Object(device)),
        ("user", Object(user)),
        ("regs", Object(regs)),
        ("source", Object(source)),
        ("at", Int),
        ("tmax", Or(&Int)),
        ("cur", Texts),
        ("wseat", Texts),
        ("bseat", Texts),
        ("bcat", Texts),
        ("cattax", Int),
        ("badv", Texts),
        ("bapp", Texts),
        ("wlang", Or(&Texts)),
        ("test", Switch),
        ("allimps", Or(&Switch)),
        ("site", Object(inventory)),
        ("app", Object(inventory)),
        ("dooh", Object(inventory)),
    ];
    let Kind::Object(fields) = &node.kind else { return Err("not_an_object") };
    let mut found = object(node, TABLE)?.expect("an object");
    // An object that is absent has fields that are.
    let nothing = Node { raw: "null", kind: Kind::Null };
    for (name, read) in [("device", device as fn(&Node) -> _), ("user", user), ("regs", regs), ("source", source)] {
        if found[name].is_null() {
            found.insert(name.to_owned(), read(&nothing)?);
        }
    }
    if found["id"][0] == "" {
        return Err("no_id");
    }
    let imps = found["imp"].as_array().map(Vec::as_slice).unwrap_or_default();
    if imps.is_empty() {
        return Err("no_imp");
    }
    if (1..imps.len()).any(|i| imps[..i].iter().any(|other| other["id"][0] == imps[i]["id"][0])) {
        return Err("duplicate_imp_id");
    }
    let place = the_place(fields, &mut found)?;
    found.insert("inventory".to_owned(), place);
    ["site", "app", "dooh"].iter().for_each(|name| drop(found.remove(*name)));
    Ok(found.into())
}

/// The one of `site`, `app` and `dooh`. Of one name the later counts, and an absent one takes it back; two names at
/// once are too many.
fn the_place(fields: &[(String, Node)], found: &mut Map<String, Value>) -> Result<Value, Rule> {
    let mut standing: Option<&str> = None;
    for (name, node) in fields.iter().filter(|(name, _)| ["site", "app", "dooh"].contains(&name.as_str())) {
        match &node.kind {
            Kind::Object(_) if standing.is_some_and(|other| other != name) => return Err("many_channels"),
            Kind::Object(_) => standing = Some(name),
            _ if standing == Some(name) => standing = None,
            _ => {}
        }
    }
    let Some(name) = standing else { return Ok(Value::Null) };
    let mut place = found.remove(name).unwrap_or_default();
    place["channel"] = json!(name);
    Ok(place)
}

/// The entries of an array; nothing has none.
fn items<'a>(node: &'a Node<'a>) -> Result<&'a [Node<'a>], Rule> {
    match &node.kind {
        Kind::Null => Ok(&[]),
        Kind::Array(items) => Ok(items),
        _ => Err(WRONG_TYPE),
    }
}

fn imps(node: &Node) -> Result<Value, Rule> {
    let read = |(i, item)| if i < 2_000 { imp(item) } else { Err("too_many_imps") };
    items(node)?.iter().enumerate().map(read).collect()
}

fn imp(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("id", Id),
        ("banner", Object(banner)),
        ("video", Object(media)),
        ("audio", Object(media)),
        ("native", Object(|node| Ok(object(node, &[("api", Or(&Ints)), ("battr", Ints)])?.into()))),
        ("pmp", Object(pmp)),
        ("bidfloor", Price),
        ("bidfloorcur", Text),
        ("secure", Flag),
        ("instl", Switch),
        ("tagid", Or(&Text)),
        ("exp", Int),
        ("qty", Object(|node| Ok(object(node, &[("multiplier", Float)])?.into()))),
        ("rwdd", Or(&Switch)),
        ("ssai", Or(&Int)),
        ("dt", Or(&Int)),
    ];
    let found = object(node, TABLE)?.ok_or(WRONG_TYPE)?;
    if found["id"][0] == "" { Err("imp_without_id") } else { Ok(found.into()) }
}

fn banner(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("w", Count),
        ("h", Count),
        ("format", Object(formats)),
        ("btype", Ints),
        ("battr", Ints),
        ("mimes", Texts),
        ("pos", Or(&Int)),
        ("api", Ints),
    ];
    let Some(mut found) = object(node, TABLE)? else { return Ok(Value::Null) };
    fill(&mut found, "format");
    Ok(found.into())
}

fn formats(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[("w", Size), ("h", Size), ("wratio", Size), ("hratio", Size), ("wmin", Size)];
    let one = std::slice::from_ref(node);
    let items = if let Kind::Array(items) = &node.kind { items } else { one };
    let mut found = Vec::new();
    for item in items {
        if found.len() < 256 {
            found.extend(object(item, TABLE)?);
        }
    }
    Ok(found.into_iter().map(Value::from).collect())
}

fn media(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("mimes", Texts),
        ("minduration", Count),
        ("maxduration", Count),
        ("startdelay", Or(&Int)),
        ("protocols", Ints),
        ("protocol", Or(&Ints)),
        ("w", Count),
        ("h", Count),
        ("placement", Or(&Int)),
        ("plcmt", Or(&Int)),
        ("linearity", Int),
        ("skip", Or(&Flag)),
        ("api", Ints),
        ("battr", Ints),
        ("minbitrate", Count),
        ("maxbitrate", Count),
        ("delivery", Or(&Ints)),
        ("poddur", Count),
        ("rqddurs", Ints),
        ("maxseq", Count),
        ("sequence", Count),
        ("mincpmpersec", Price),
        ("durfloors", Object(duration_floors)),
        ("podid", Or(&Text)),
    ];
    let Some(mut found) = object(node, TABLE)? else { return Ok(Value::Null) };
    fill(&mut found, "durfloors");
    let old = found.remove("protocol").unwrap_or_default();
    if found["protocols"] == json!([]) {
        found.insert("protocols".to_owned(), old);
    }
    Ok(found.into())
}

fn pmp(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[("private_auction", Switch), ("deals", Object(deals))];
    let Some(mut found) = object(node, TABLE)? else { return Ok(Value::Null) };
    fill(&mut found, "deals");
    Ok(found.into())
}

/// An array that is absent is empty.
fn fill(found: &mut Map<String, Value>, name: &str) {
    if found[name].is_null() {
        found.insert(name.to_owned(), json!([]));
    }
}

fn duration_floors(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[("mindur", Count), ("maxdur", Count), ("bidfloor", Price)];
    let mut found = Vec::new();
    for item in items(node)? {
        if found.len() < 32 {
            found.extend(object(item, TABLE)?);
        }
    }
    Ok(found.into_iter().map(Value::from).collect())
}

fn deals(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("id", Id),
        ("bidfloor", Price),
        ("bidfloorcur", Text),
        ("mincpmpersec", Price),
        ("durfloors", Object(duration_floors)),
        ("at", Or(&Int)),
        ("wseat", Texts),
        ("wadomain", Texts),
    ];
    let mut found = Vec::new();
    for item in items(node)? {
        if found.len() < 1_000 {
            found.extend(object(item, TABLE)?.filter(|deal| deal["id"][0] != "").map(|mut deal| {
                fill(&mut deal, "durfloors");
                deal
            }));
        }
    }
    Ok(found.into_iter().map(Value::from).collect())
}

fn inventory(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("id", Text),
        ("name", Or(&Text)),
        ("domain", Text),
        ("bundle", Text),
        ("page", Or(&Text)),
        ("cat", Texts),
        ("sectioncat", Or(&Texts)),
        ("pagecat", Or(&Texts)),
        ("cattax", Or(&Int)),
        ("keywords", Or(&Text)),
        ("publisher", Object(publisher)),
        ("content", Object(content)),
    ];
    let Some(mut found) = object(node, TABLE)? else { return Ok(Value::Null) };
    for (name, table) in [("publisher", PUBLISHER), ("content", CONTENT)] {
        if found[name].is_null() {
            found.insert(name.to_owned(), absent(table).into());
        }
    }
    Ok(found.into())
}

const PUBLISHER: Table = &[("id", Text), ("domain", Or(&Text))];
const CONTENT: Table = &[("language", Or(&Text)), ("cat", Or(&Texts)), ("cattax", Or(&Int))];
const GEO: Table = &[("country", Text), ("region", Text), ("city", Text)];

fn publisher(node: &Node) -> Result<Value, Rule> {
    Ok(whole_object(node, PUBLISHER)?.into())
}

fn content(node: &Node) -> Result<Value, Rule> {
    Ok(whole_object(node, CONTENT)?.into())
}

fn geo(node: &Node) -> Result<Value, Rule> {
    Ok(whole_object(node, GEO)?.into())
}

fn device(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("ua", Or(&Text)),
        ("sua", Object(|node| ext(node, &[("platform", Object(|node| ext(node, &[("brand", Or(&Text))])))]))),
        ("ip", Or(&Text)),
        ("ipv6", Or(&Text)),
        ("geo", Object(geo)),
        ("devicetype", Int),
        ("make", Or(&Text)),
        ("model", Or(&Text)),
        ("os", Text),
        ("osv", Or(&Text)),
        ("language", Or(&Text)),
        ("langb", Or(&Text)),
        ("ifa", Text),
        ("lmt", Flag),
        ("dnt", Flag),
        ("w", Or(&Count)),
        ("h", Or(&Count)),
        ("js", Or(&Flag)),
        ("connectiontype", Or(&Int)),
    ];
    let mut found = whole_object(node, TABLE)?;
    let (langb, sua) = (found.remove("langb").unwrap_or_default(), found.remove("sua").unwrap_or_default());
    if found["language"].is_null() {
        found.insert("language".to_owned(), langb);
    }
    found.insert("platform".to_owned(), sua["platform"]["brand"].clone());
    if found["geo"].is_null() {
        found.insert("geo".to_owned(), absent(GEO).into());
    }
    Ok(found.into())
}

fn user(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[
        ("id", Text),
        ("buyeruid", Text),
        ("consent", Text),
        ("eids", Raw),
        ("data", Raw),
        ("geo", Object(geo)),
        ("ext", Object(|node| ext(node, &[("consent", Or(&Text)), ("eids", Raw)]))),
    ];
    let mut found = whole_object(node, TABLE)?;
    fall_back(&mut found, &["consent", "eids"]);
    let data = found.remove("data").unwrap_or_default();
    let mut segments = Vec::new();
    in_objects(&Node::of(data.as_str().unwrap_or("null")), "segment", &mut |node| {
        in_objects(node, "id", &mut |id| segments.extend(text(id).ok().flatten()));
    });
    found.insert("segments".to_owned(), segments.into());
    if found["geo"].is_null() {
        found.insert("geo".to_owned(), absent(GEO).into());
    }
    Ok(found.into())
}

/// Every value of `name` in the objects of an array.
fn in_objects(node: &Node, name: &str, each: &mut dyn FnMut(&Node)) {
    let Kind::Array(items) = &node.kind else { return };
    for item in items {
        if let Kind::Object(fields) = &item.kind {
            fields.iter().filter(|(known, _)| known == name).for_each(|(_, value)| each(value));
        }
    }
}

fn regs(node: &Node) -> Result<Value, Rule> {
    const EXT: Table = &[("gdpr", Gdpr), ("us_privacy", Text), ("gpp", Text), ("gpp_sid", Ints), ("gpc", Switch)];
    const TABLE: Table = &[
        ("coppa", Switch),
        ("gdpr", Gdpr),
        ("us_privacy", Text),
        ("gpp", Text),
        ("gpp_sid", Ints),
        ("ext", Object(|node| ext(node, EXT))),
    ];
    let mut found = whole_object(node, TABLE)?;
    let gpc = found["ext"]["gpc"].as_bool().unwrap_or(false);
    let objects = |text: &&str| !text.is_empty() && !matches!(text.as_bytes(), [b'1', _, b'N' | b'n' | b'-', _]);
    let objection = found["ext"]["us_privacy"].as_str().filter(objects).map(str::to_owned);
    fall_back(&mut found, &["gdpr", "us_privacy", "gpp", "gpp_sid"]);
    if let Some(objection) = objection {
        found.insert("us_privacy".to_owned(), objection.into());
    }
    found.insert("gpc".to_owned(), gpc.into());
    Ok(found.into())
}

fn source(node: &Node) -> Result<Value, Rule> {
    const TABLE: Table = &[("tid", Or(&Text)), ("schain", Raw), ("ext", Object(|node| ext(node, &[("schain", Raw)])))];
    let mut found = whole_object(node, TABLE)?;
    fall_back(&mut found, &["schain"]);
    Ok(found.into())
}
