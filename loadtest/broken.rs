//! Broken requests: what must be answered 400 and change nothing.

use fastrand::Rng;

/// Breaks a body in one of the ways that must be answered 400.
pub fn spoil(body: &mut Vec<u8>, rng: &mut Rng) {
    match rng.u8(..6) {
        0 => body.truncate(body.len() / 2),
        1 => *body = b"[1,2,3]".to_vec(),
        2 => *body = b"{\"id\":\"no-imp\",\"imp\":[]}".to_vec(),
        3 => *body = b"{\"imp\":[{\"id\":\"1\",\"banner\":{\"w\":300,\"h\":250}}]}".to_vec(),
        4 => {
            // A byte that is never valid in UTF-8, inside the id.
            let position = body.iter().position(|byte| *byte == b'-').unwrap_or(0);
            body[position] = 0xff;
        }
        _ => body.clear(),
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::test_plan;
    use crate::requests::Requests;
    use serde_json::Value;

    #[test]
    fn broken_requests_are_broken() {
        let requests = Requests::new(&test_plan(&["--malformed", "1", "--seed", "1"]).expect("plan"));
        for index in 0..200 {
            let (body, asked) = requests.make(index);
            assert!(asked.broken);
            let valid = serde_json::from_slice::<Value>(&body).is_ok_and(|value| {
                value["id"].is_string() && value["imp"].as_array().is_some_and(|imps| !imps.is_empty())
            });
            assert!(!valid);
        }
    }
}
