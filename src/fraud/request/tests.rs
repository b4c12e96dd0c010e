//! What is read of a body, and what is refused.

use super::*;

const NOW: UnixMs = UnixMs(1_795_000_000_000);

fn parse(body: &str) -> (Request, Result<(), Refused>) {
    let mut request = Request::default();
    let result = request.parse(body.as_bytes(), true, None, NOW);
    (request, result)
}

fn pointers(body: &str) -> Vec<String> {
    let (request, result) = parse(body);
    assert_eq!(result, Err(Refused::Faults), "{body}");
    request.faults.into_iter().map(|fault| fault.pointer).collect()
}

const LEAST: &str = r#""merchant_id":"m","transaction_id":"t","amount":{"value":100,"currency":"EUR"}"#;

#[test]
fn fields_are_read_and_others_derived() {
    let (request, result) = parse(&format!(
        r#"{{{LEAST},"occurred_at":"2026-11-23T23:30:05Z","customer":{{"email":"A@Example.COM","created_at":"2026-11-23T22:30:05+00:00"}},
        "device":{{"ip":"203.0.113.77"}},"order":{{"items":[1,{{"x":[2]}}]}},"metadata":{{"any":{{"thing":1.5}}}},
        "billing_address":{{"line1":"1, Main St.","postal_code":"AB 1","country":"GB"}}}}"#
    ));
    assert_eq!(result, Ok(()), "{:?}", request.faults);
    let text = |path: &str| request.text(fields::find(path).unwrap()).to_owned();
    let int = |path: &str| request.int(fields::find(path).unwrap());
    assert_eq!(text("customer.email_domain"), "example.com");
    assert_eq!(int("customer.age_seconds"), Some(3_600));
    assert_eq!(text("device.ip_prefix"), "203.0.113.0/24");
    assert_eq!(text("billing_address.key"), "1mainst|ab1|gb|");
    assert_eq!(int("order.items"), Some(2));
    // A Monday.
    assert_eq!((int("clock.hour"), int("clock.day_of_week"), int("clock.minute")), (Some(23), Some(0), Some(30)));
}

#[test]
fn addresses_are_written_in_one_way() {
    let texts = |email: &str, phone: &str, ip: &str| {
        let (request, result) = parse(&format!(
            r#"{{{LEAST},"customer":{{"email":"{email}","phone":"{phone}"}},"device":{{"ip":"{ip}"}}}}"#
        ));
        assert_eq!(result, Ok(()), "{:?}", request.faults);
        [fields::EMAIL, fields::EMAIL_DOMAIN, fields::PHONE, fields::IP, fields::IP_PREFIX]
            .map(|field| request.text(field).to_owned())
    };
    let one = texts("bob@example.com", "+15550100", "203.0.113.7");
    assert_eq!(one, ["bob@example.com", "example.com", "+15550100", "203.0.113.7", "203.0.113.0/24"]);
    assert_eq!(texts(" Bob@Example.COM. ", "+1 (555) 01-00", "::ffff:203.0.113.7"), one);
    let six = texts("x", "5", "2001:DB8:0::1");
    assert_eq!(six, ["x", "", "5", "2001:db8::1", "2001:db8:0::/48"]);
}

#[test]
fn every_fault_has_its_pointer() {
    assert_eq!(pointers("{}"), ["/merchant_id", "/transaction_id", "/amount/value", "/amount/currency"]);
    assert_eq!(
        pointers(&format!(r#"{{{LEAST},"what":1,"device":{{"ip":"x","q~/":{{}}}}}}"#)),
        ["/what", "/device/q~0~1", "/device/ip"]
    );
    for value in ["-1", "1.5", "1e30", "99999999999999999999", "\"1\"", "{}", "[]", "true"] {
        let body =
            format!(r#"{{"merchant_id":"m","transaction_id":"t","amount":{{"value":{value},"currency":"XXX"}}}}"#);
        let pointers = pointers(&body);
        assert_eq!(pointers, ["/amount/value", "/amount/currency"], "{value}");
    }
    assert_eq!(pointers(&format!(r#"{{{LEAST},"amount":3,"stage":7,"stage":"x"}}"#)), ["/amount", "/stage"]);
    assert_eq!(pointers(&format!(r#"{{{LEAST},"stage":"a","stage":"b"}}"#)), ["/stage"]);
    for body in ["", "{", "[]x", "nul", "{\"a\":1,}", "\"\\ud800\"", "{\"a\":\"\u{1}\"}"] {
        assert!(matches!(parse(body).1, Err(Refused::Syntax(_))), "{body}");
    }
    let told = |body: &str| match parse(body).1 {
        Err(Refused::Syntax(text)) => text,
        other => panic!("{body}: {other:?}"),
    };
    assert_eq!(told("{\n\"a\": 01}"), "invalid number at line 2 column 7");
    assert_eq!(told("{\"a\":1} {"), "trailing characters at line 1 column 9");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(parse(&nested(127)).1, Err(Refused::Faults));
        assert!(told(&nested(128)).starts_with("recursion limit exceeded at line 1"));
    }
    assert!(matches!(parse("[]").1, Err(Refused::Faults)));
    assert!(matches!(parse(&"[".repeat(100_000)).1, Err(Refused::Syntax(_))));
}

#[test]
fn card_numbers_are_refused_anywhere_but_in_identifiers() {
    let pan = "4111 1111 1111 1111";
    for (member, pointer) in [
        (format!(r#""metadata":{{"note":["pays with {pan}"]}}"#), "/metadata/note/0"),
        (r#""unknown":{"n":4111111111111111}"#.to_owned(), "/unknown/n"),
        (r#""billing_address":{"line2":"4111\u00201111 1111\u002d1111"}"#.to_owned(), "/billing_address/line2"),
        (r#""payment_method":{"card":{"bin":"4111111111111111"}}"#.to_owned(), "/payment_method/card/bin"),
        (format!(r#""metadata":{{"{pan}":1}}"#), "/metadata"),
        (format!(r#""metadata":{{"sku":"{pan}"}}"#), "/metadata/sku"),
        (format!(r#""order":{{"items":[{{"name":"{pan}"}}]}}"#), "/order/items/0/name"),
        (format!(r#""order":{{"items":[{{"id":{{"x":"{pan}"}}}}]}}"#), "/order/items/0/id/x"),
        (r#""metadata":[4.111111111111111e15]"#.to_owned(), "/metadata/0"),
    ] {
        let (request, result) = parse(&format!("{{{LEAST},{member}}}"));
        assert_eq!(
            (result, request.card_numbers.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()),
            (Err(Refused::CardNumbers), vec![pointer.to_owned()]),
            "{member}"
        );
    }
    for member in [
        r#""customer":{"id":"4111111111111111"}"#,
        r#""order":{"items":[{"gtin":"4006381300000","ean":4006381300000,"sku":"4111111111111111"}]}"#,
    ] {
        assert_eq!(parse(&format!("{{{LEAST},{member}}}")).1, Ok(()), "{member}");
    }
}
