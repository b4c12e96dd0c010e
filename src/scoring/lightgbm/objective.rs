//! What each objective makes of a raw score.

use crate::scoring::fault::Fault;
use crate::scoring::link::Link;

/// Reads the objective line, such as `binary sigmoid:1`.
pub fn find(text: &str, classes: usize) -> Result<Link, Fault> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap_or("");
    let mut sigmoid = 1.0;
    let mut sqrt = false;
    for word in words {
        match word.split_once(':') {
            Some(("sigmoid", value)) => {
                // The library takes none below either.
                let factor = value.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor > 0.0);
                sigmoid =
                    factor.ok_or_else(|| Fault::new("objective", format!("`{word:.40}` is no positive number")))?;
            }
            Some(("num_class", value)) if value.parse() != Ok(classes) => {
                return Err(Fault::new("objective", format!("`{word:.40}` for {classes} trees per iteration")));
            }
            None if word == "sqrt" => sqrt = true,
            _ => {}
        }
    }
    Ok(match name {
        "regression" | "regression_l2" | "l2" | "regression_l1" | "fair" | "quantile" | "mape" if sqrt => {
            Link::SignedSquare
        }
        "regression" | "regression_l2" | "l2" | "regression_l1" | "huber" | "fair" | "quantile" | "mape"
        | "lambdarank" | "rank_xendcg" | "xendcg" | "custom" | "none" => Link::Identity,
        "poisson" | "gamma" | "tweedie" => Link::Exp,
        "binary" | "multiclassova" => Link::Sigmoid(sigmoid),
        "cross_entropy" | "xentropy" => Link::Sigmoid(1.0),
        "cross_entropy_lambda" | "xentlambda" => Link::LogExp,
        "multiclass" => Link::Softmax,
        _ => return Err(Fault::new("objective", format!("`{name:.60}` is not supported"))),
    })
}
