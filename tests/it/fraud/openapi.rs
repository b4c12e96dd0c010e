//! What `/openapi.json` says of checks and answers is what is taken and given.

use gavel::fraud::fields::{FIELDS, Kind};
use serde_json::{Value, json};

use super::desk::{check, decide, start};
use super::models::put;

/// What of a value a schema does not describe, if anything.
fn undescribed(api: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{place}: {value} {what}"));
    if let Some(name) = schema["$ref"].as_str() {
        let schema = api.pointer(&name[1..]).ok_or_else(|| format!("{name} is not there"))?;
        return undescribed(api, schema, value, place);
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let fits = ways.iter().filter(|way| undescribed(api, way, value, place).is_ok()).count();
        return if fits == 1 { Ok(()) } else { fail(&format!("is described in {fits} ways")) };
    }
    if let Some(values) = schema["enum"].as_array() {
        return if values.contains(value) { Ok(()) } else { fail("is none of them") };
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !types.iter().any(|kind| is(kind)) {
        return fail("is of another type");
    }
    for (name, member) in value.as_object().into_iter().flatten() {
        let open = schema["additionalProperties"].is_object().then_some(&schema["additionalProperties"]);
        let Some(schema) = schema["properties"].get(name).or(open) else {
            return Err(format!("{place}/{name} is not described"));
        };
        undescribed(api, schema, member, &format!("{place}/{name}"))?;
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.is_object() && value.get(name).is_none() {
            return Err(format!("{place}/{name} is not there"));
        }
    }
    let mut items = value.as_array().into_iter().flatten().enumerate();
    items.try_for_each(|(at, item)| undescribed(api, &schema["items"], item, &format!("{place}/{at}")))
}

fn leaves(schema: &Value) -> usize {
    let Some(members) = schema["properties"].as_object() else { return 1 };
    members.values().map(leaves).sum()
}

#[test]
fn openapi_describes_every_field_of_a_check_and_no_other() {
    let server = start("");
    let api = server.ask("GET", "/openapi.json", b"").json();
    let of_check = &api["components"]["schemas"]["FraudCheck"];
    let fields: Vec<_> = FIELDS.iter().filter(|(_, kind)| !kind.is_derived()).collect();
    for (path, kind) in &fields {
        let field = path.split('.').fold(of_check, |schema, name| &schema["properties"][name]);
        let expected = match kind {
            Kind::Number => json!("integer"),
            Kind::List => json!("array"),
            _ => json!("string"),
        };
        assert_eq!(field["type"], expected, "{path}");
        match kind {
            Kind::Time => assert_eq!(field["format"], "date-time", "{path}"),
            Kind::Digits(..) => assert!(field["pattern"].is_string(), "{path}"),
            Kind::Identifier => assert_eq!(field["maxLength"], 256, "{path}"),
            _ => {}
        }
    }
    // And metadata.
    assert_eq!(leaves(of_check), fields.len() + 1);
}

#[test]
fn openapi_describes_answers() {
    let server = start("");
    let api = server.ask("GET", "/openapi.json", b"").json();
    let schema = &api["components"]["schemas"]["FraudDecision"];
    let client = &mut server.connect();
    let first = decide(client, &check("t-0", "card-1", 100));
    put(&server, "1", -1.0);
    put(&server, "2", -3.0);
    for path in ["1/activate", "2/shadow"] {
        assert_eq!(server.ask("POST", &format!("/v1/models/fraud/{path}"), b"").status, 200);
    }
    let second = decide(client, &check("t-1", "card-1", 60_000));
    let reasons: Vec<_> = second["reasons"].as_array().unwrap().iter().map(|reason| &reason["code"]).collect();
    assert!(reasons.contains(&&json!("rule")) && reasons.contains(&&json!("model")), "{second}");
    assert_eq!(second["shadow"].as_array().unwrap().len(), 2, "{second}");
    let shown = client.get(&format!("/v1/fraud/checks/{}", second["id"].as_str().unwrap())).json();
    assert!(shown["features"].is_object(), "{shown}");
    for answer in [first, second, shown] {
        assert_eq!(undescribed(&api, schema, &answer, ""), Ok(()));
    }
    assert!(undescribed(&api, schema, &json!({"id": 1}), "").is_err());
}
