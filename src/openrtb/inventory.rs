//! Where the ad would be shown: Site, App or DOOH (OpenRTB 2.6 sections 3.2.13 to 3.2.17 and 3.2.30).

use std::borrow::Cow;

use super::error::RequestError;
use super::list::{StrList, strings};
use super::value::{apart, int, is_object, lenient, read_object, text};
use crate::json::Scanner;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Channel {
    #[default]
    Site,
    App,
    Dooh,
}

/// A Site, an App or a DOOH: they differ in which of these fields they have.
#[derive(Clone, Debug, Default)]
pub struct Inventory<'a> {
    pub channel: Channel,
    pub id: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub domain: Option<Cow<'a, str>>,
    /// The store id of an app.
    pub bundle: Option<Cow<'a, str>>,
    /// The URL of a site's page.
    pub page: Option<Cow<'a, str>>,
    pub cat: StrList<'a>,
    pub sectioncat: StrList<'a>,
    pub pagecat: StrList<'a>,
    /// Taxonomy of the categories; 1 (content taxonomy 1.0) when absent.
    pub cattax: Option<i64>,
    pub keywords: Option<Cow<'a, str>>,
    pub publisher: Publisher<'a>,
    pub content: Content<'a>,
}

/// Section 3.2.15.
#[derive(Clone, Debug, Default)]
pub struct Publisher<'a> {
    pub id: Option<Cow<'a, str>>,
    pub domain: Option<Cow<'a, str>>,
}

/// Section 3.2.16.
#[derive(Clone, Debug, Default)]
pub struct Content<'a> {
    pub language: Option<Cow<'a, str>>,
    pub cat: StrList<'a>,
    /// Taxonomy of the categories; 1 (content taxonomy 1.0) when absent.
    pub cattax: Option<i64>,
}

impl Inventory<'_> {
    /// Whether anything says which site or app it is (sections 3.2.13 and 3.2.14). A screen's place does that too.
    pub fn is_named(&self) -> bool {
        let named = [&self.id, &self.name, &self.domain, &self.bundle, &self.page, &self.publisher.id];
        self.channel == Channel::Dooh || named.iter().any(|n| n.as_deref().is_some_and(|n| !n.is_empty()))
    }
}

/// Reads a `site`, `app` or `dooh`; whether there was one of another kind before. Of one key given twice the later counts;
/// two kinds are too many (sections 3.2.13 and 3.2.14: at most one).
pub(super) fn read<'a>(
    s: &mut Scanner<'a>,
    channel: Channel,
    inventory: &mut Option<Inventory<'a>>,
) -> Result<bool, RequestError> {
    if !is_object(s)? {
        inventory.take_if(|inventory| inventory.channel == channel);
        return Ok(false);
    }
    let has_other = inventory.as_ref().is_some_and(|other| other.channel != channel);
    fields(s, inventory.insert(Inventory { channel, ..Inventory::default() }))?;
    Ok(has_other)
}

fn fields<'a>(s: &mut Scanner<'a>, found: &mut Inventory<'a>) -> Result<(), RequestError> {
    read_object!(s, {
        "id" => found.id, text;
        "name" => found.name, |s| lenient(s, text);
        "domain" => found.domain, text;
        "bundle" => found.bundle, text;
        "page" => found.page, |s| lenient(s, text);
        "cat" => found.cat, strings;
        "sectioncat" => found.sectioncat, |s| lenient(s, strings);
        "pagecat" => found.pagecat, |s| lenient(s, strings);
        "cattax" => found.cattax, |s| lenient(s, int);
        "keywords" => found.keywords, |s| lenient(s, text);
        "publisher" => (), |s| apart(s, |s| publisher(s, &mut found.publisher));
        "content" => (), |s| apart(s, |s| content(s, &mut found.content));
    });
    Ok(())
}

fn publisher<'a>(s: &mut Scanner<'a>, publisher: &mut Publisher<'a>) -> Result<(), RequestError> {
    *publisher = Publisher::default();
    if is_object(s)? {
        read_object!(s, {
            "id" => publisher.id, text;
            "domain" => publisher.domain, |s| lenient(s, text);
        });
    }
    Ok(())
}

fn content<'a>(s: &mut Scanner<'a>, content: &mut Content<'a>) -> Result<(), RequestError> {
    *content = Content::default();
    if is_object(s)? {
        read_object!(s, {
            "language" => content.language, |s| lenient(s, text);
            "cat" => content.cat, |s| lenient(s, strings);
            "cattax" => content.cattax, |s| lenient(s, int);
        });
    }
    Ok(())
}
