//! Where the ad would be shown: Site, App or DOOH (OpenRTB 2.6 sections 3.2.13 to 3.2.17 and 3.2.30).

use std::borrow::Cow;

use super::error::RequestError;
use super::list::{StrList, strings};
use super::scan::Scanner;
use super::value::{int, is_object, lenient, read_object, text};

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
}

impl Inventory<'_> {
    /// Whether anything says which site or app it is (sections 3.2.13 and 3.2.14). A screen's place does that too.
    pub fn is_named(&self) -> bool {
        let named = [&self.id, &self.name, &self.domain, &self.bundle, &self.page, &self.publisher.id];
        self.channel == Channel::Dooh || named.iter().any(|n| n.as_deref().is_some_and(|n| !n.is_empty()))
    }
}

/// The one place that a request may name.
#[derive(Debug, Default)]
pub(super) struct Place<'a> {
    pub inventory: Option<Inventory<'a>>,
    pub has_many: bool,
}

impl<'a> Place<'a> {
    /// Reads a `site`, `app` or `dooh`, where it lies. Of one key given twice the later counts; two kinds of place are
    /// too many (sections 3.2.13 and 3.2.14: at most one).
    pub fn read(&mut self, s: &mut Scanner<'a>, channel: Channel) -> Result<(), RequestError> {
        if !is_object(s)? {
            self.inventory.take_if(|inventory| inventory.channel == channel);
            return Ok(());
        }
        self.has_many |= self.inventory.as_ref().is_some_and(|other| other.channel != channel);
        let found = self.inventory.insert(Inventory { channel, ..Inventory::default() });
        fields(s, found)
    }
}

fn fields<'a>(s: &mut Scanner<'a>, found: &mut Inventory<'a>) -> Result<(), RequestError> {
    read_object!(s, {
        "id" => found.id, text;
        "name" => found.name, lenient(text);
        "domain" => found.domain, text;
        "bundle" => found.bundle, text;
        "page" => found.page, lenient(text);
        "cat" => found.cat, strings;
        "sectioncat" => found.sectioncat, lenient(strings);
        "pagecat" => found.pagecat, lenient(strings);
        "cattax" => found.cattax, lenient(int);
        "keywords" => found.keywords, lenient(text);
        "publisher" => found.publisher, publisher;
        "content" => found.content, content;
    });
    Ok(())
}

fn publisher<'a>(s: &mut Scanner<'a>) -> Result<Publisher<'a>, RequestError> {
    let mut publisher = Publisher::default();
    if is_object(s)? {
        read_object!(s, {
            "id" => publisher.id, text;
            "domain" => publisher.domain, lenient(text);
        });
    }
    Ok(publisher)
}

fn content<'a>(s: &mut Scanner<'a>) -> Result<Content<'a>, RequestError> {
    let mut content = Content::default();
    if is_object(s)? {
        read_object!(s, {
            "language" => content.language, lenient(text);
            "cat" => content.cat, lenient(strings);
        });
    }
    Ok(content)
}
