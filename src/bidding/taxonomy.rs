//! Categories of different taxonomies side by side (AdCOM 1.0, list of category taxonomies).
//!
//! Content taxonomy 1.0 names categories `IAB2-3`; 2.0 to 3.1 number them, a number keeps its meaning, and what 3.0 added has
//! six letters. IAB Tech Lab's mapping leads from each category of 1.0 to some of 2.0. It is kept here as areas, which are
//! the first tier of 2.0: a category of 1.0 lies in all areas that it or its children are mapped to. Where one taxonomy's
//! list blocks another's creative, sharing an area is enough, and what nobody mapped lies in every area: it is better not to
//! bid than to show what a publisher blocked.

/// One bit for each of [`AREAS`].
pub type Areas = u32;

/// Anything may be meant.
pub const EVERY: Areas = Areas::MAX;

/// Of a place: mapped to no area, such as sensitive topics and what nobody knows.
const UNMAPPED: Areas = 1 << 31;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taxonomy {
    /// Content 1.0.
    Named,
    /// Content 2.0, 2.1, 2.2, 3.0 and 3.1.
    Numbered,
    /// Of products or audiences, or an exchange's own.
    Other,
}

impl Taxonomy {
    pub fn of(cattax: i64) -> Taxonomy {
        match cattax {
            1 => Taxonomy::Named,
            2 | 5 | 6 | 7 | 9 => Taxonomy::Numbered,
            _ => Taxonomy::Other,
        }
    }

    /// That of a category by its looks: names are 1.0's, whatever a list says it is of.
    pub fn of_text(category: &str) -> Taxonomy {
        if category.starts_with("IAB") { Taxonomy::Named } else { Taxonomy::Numbered }
    }

    /// The areas of a place: what is mapped to none lies in one of its own.
    pub fn place(self, category: &str) -> Areas {
        match self.areas(category) {
            EVERY => UNMAPPED,
            areas => areas,
        }
    }

    pub fn areas(self, category: &str) -> Areas {
        match self {
            Taxonomy::Named => named(category),
            Taxonomy::Numbered => match number(category) {
                Some(number) => 1 << area(number),
                None => LETTERED.iter().find(|(id, _)| *id == category).map_or(EVERY, |(_, areas)| *areas),
            },
            Taxonomy::Other => EVERY,
        }
    }
}

/// The last number of each area of content 2.0, in order; the first has 1 to 41. Within an area parents have lower numbers
/// than their children.
const AREAS: [u16; 29] = [
    41, 51, 122, 131, 149, 185, 200, 209, 222, 238, 273, 285, 323, 337, 378, 390, 421, 431, 440, 452, 463, 472, 482,
    551, 595, 639, 652, 679, 702,
];

const AUTOMOTIVE: Areas = 1;
const BOOKS: Areas = 1 << 1;
const BUSINESS: Areas = 1 << 2;
const CAREERS: Areas = 1 << 3;
const EDUCATION: Areas = 1 << 4;
const EVENTS: Areas = 1 << 5;
const FAMILY: Areas = 1 << 6;
const FINE_ART: Areas = 1 << 7;
const FOOD: Areas = 1 << 8;
const HEALTHY_LIVING: Areas = 1 << 9;
const HOBBIES: Areas = 1 << 10;
const HOME: Areas = 1 << 11;
const MEDICAL: Areas = 1 << 12;
const MOVIES: Areas = 1 << 13;
const MUSIC: Areas = 1 << 14;
const NEWS: Areas = 1 << 15;
const PERSONAL_FINANCE: Areas = 1 << 16;
const PETS: Areas = 1 << 17;
const POP_CULTURE: Areas = 1 << 18;
const REAL_ESTATE: Areas = 1 << 19;
const RELIGION: Areas = 1 << 20;
const SCIENCE: Areas = 1 << 21;
const SHOPPING: Areas = 1 << 22;
const SPORTS: Areas = 1 << 23;
const STYLE: Areas = 1 << 24;
const TECHNOLOGY: Areas = 1 << 25;
const TELEVISION: Areas = 1 << 26;
const TRAVEL: Areas = 1 << 27;
const VIDEO_GAMING: Areas = 1 << 28;

/// Of `IAB1` to `IAB23`. What follows (uncategorized, non-standard, illegal) is mapped to nothing.
const NAMED: [Areas; 23] = [
    BOOKS | EVENTS | FINE_ART | MOVIES | MUSIC | POP_CULTURE | TELEVISION,
    AUTOMOTIVE,
    BUSINESS | TECHNOLOGY,
    CAREERS | EDUCATION | PERSONAL_FINANCE | BUSINESS,
    EDUCATION | FINE_ART,
    FAMILY | MEDICAL,
    HEALTHY_LIVING | MEDICAL,
    FOOD,
    HOBBIES | FINE_ART | VIDEO_GAMING,
    HOME | TECHNOLOGY,
    NEWS | BUSINESS,
    NEWS,
    PERSONAL_FINANCE | BUSINESS,
    FAMILY | EVENTS,
    SCIENCE | RELIGION | HOBBIES | NEWS,
    PETS,
    SPORTS | HEALTHY_LIVING,
    STYLE,
    TECHNOLOGY,
    TRAVEL | EVENTS,
    REAL_ESTATE | BUSINESS,
    SHOPPING | TECHNOLOGY,
    RELIGION,
];

/// What 3.0 added: where its like lies, and where its children come from.
const LETTERED: [(&str, Areas); 18] = [
    ("JLBCU7", MOVIES | MUSIC | TELEVISION),
    ("SPSHQ5", GENRES),
    ("VKIV56", GENRES),
    ("EZWB7V", GENRES),
    ("TIFQA5", GENRES),
    ("A0AH3G", GENRES),
    ("KHPC5A", GENRES),
    ("KHPC6A", GENRES),
    ("8VZQHL", EVENTS),
    ("1KXCLD", EVENTS),
    ("8YPBBL", NEWS),
    ("WQC6HR", TECHNOLOGY),
    ("W3CW2J", TECHNOLOGY),
    ("MQ2XML", VIDEO_GAMING),
    ("ZJG29S", VIDEO_GAMING),
    ("VWGKS7", VIDEO_GAMING),
    ("II436J", VIDEO_GAMING),
    ("VK7KD0", VIDEO_GAMING),
];
const GENRES: Areas = BOOKS | EVENTS | MOVIES | MUSIC | TELEVISION;

/// What 3.0 added beside everything that has a number: communication, and the sensitive topics. Of 1.0 nothing is mapped to
/// them.
const APART: [&str; 13] = [
    "80DV8O", "v9i3On", "Rm3SiT", "avbNf2", "XtODT3", "I4GWl6", "Z7rJBM", "HxqYV1", "pg0WhF", "j9PaO9", "mm3UXx",
    "6i4dB6", "8FD8nI",
];

/// Numbers that 3.0 put below one of another area.
const MOVED: [(u16, u16); 2] = [(161, 473), (390, 464)];

fn named(category: &str) -> Areas {
    let first = category.split('-').next().unwrap_or_default();
    let digits = first.strip_prefix("IAB").filter(|digits| !digits.starts_with(['0', '+']));
    let at = digits.and_then(|digits| digits.parse::<usize>().ok()).and_then(|n| n.checked_sub(1));
    at.and_then(|at| NAMED.get(at)).copied().unwrap_or(EVERY)
}

/// The number of a category of content 2.0 that has an area.
pub fn number(category: &str) -> Option<u16> {
    let number: u16 = category.parse().ok().filter(|_| category.bytes().all(|b| b.is_ascii_digit()))?;
    (1..=AREAS[AREAS.len() - 1]).contains(&number).then_some(number)
}

/// Which area a number lies in.
pub fn area(number: u16) -> usize {
    AREAS.partition_point(|last| *last < number)
}

/// What a campaign's categories say of places whose categories are of the other kind. A category that is excluded keeps it
/// from its whole areas; one that is included leads it to areas only where it is of the first tier.
#[derive(Clone, Copy, Debug, Default)]
pub struct AreaTargets {
    /// Of numbered places.
    wanted: Areas,
    barred: Areas,
    /// Of named places.
    barred_named: Areas,
}

impl AreaTargets {
    pub fn of<'c>(include: impl Iterator<Item = &'c str>, exclude: impl Iterator<Item = &'c str>) -> AreaTargets {
        let mut targets = AreaTargets::default();
        for category in include.filter(|category| is_first_tier(category)) {
            // What is mapped to nothing leads nowhere.
            targets.wanted |= Taxonomy::of_text(category).place(category) & !UNMAPPED;
        }
        for category in exclude {
            let taxonomy = Taxonomy::of_text(category);
            if taxonomy == Taxonomy::Named || is_first_tier(category) {
                targets.barred |= taxonomy.place(category);
            }
            if taxonomy == Taxonomy::Numbered {
                targets.barred_named |= taxonomy.place(category);
            }
        }
        targets
    }

    /// Whether it wants a place with these areas, as far as they say.
    pub fn want(self, place: PlaceAreas) -> bool {
        self.wanted & place.numbered != 0
    }

    /// Whether [`PlaceAreas`] of named categories matter to it.
    pub fn bars_by_number(self) -> bool {
        self.barred_named != 0
    }

    pub fn bar(self, place: PlaceAreas) -> bool {
        self.barred & place.numbered != 0 || self.barred_named & place.named != 0
    }
}

/// Where a place's categories lie, by what they are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceAreas {
    named: Areas,
    numbered: Areas,
}

impl PlaceAreas {
    /// `taxonomy` is that of the list which has the category. Names are only looked at where somebody `bars_by_number`.
    pub fn add(&mut self, taxonomy: Taxonomy, category: &str, bars_by_number: bool) {
        match Taxonomy::of_text(category) {
            Taxonomy::Named if !bars_by_number => {}
            Taxonomy::Named => self.named |= Taxonomy::Named.place(category),
            _ if taxonomy == Taxonomy::Numbered => self.numbered |= taxonomy.place(category),
            // An exchange's own.
            _ => {}
        }
    }
}

/// Whether a category has no parent. Of numbers, it is the lowest of its area.
fn is_first_tier(category: &str) -> bool {
    match number(category) {
        Some(number) => number == 1 || area(number - 1) != area(number),
        None => !category.contains('-'),
    }
}

/// A block list of any taxonomy, as seen by creatives of any.
#[derive(Clone, Copy, Debug)]
pub struct BlockedAreas {
    /// Of all its categories, as another taxonomy sees them.
    areas: Areas,
    /// Areas that are below one of its categories as a whole, as numbers see them.
    below: Areas,
    /// The lowest number blocked in each area.
    least: [u16; AREAS.len()],
    numbered: bool,
}

impl BlockedAreas {
    pub fn of<'c>(taxonomy: Taxonomy, categories: impl Iterator<Item = std::borrow::Cow<'c, str>>) -> BlockedAreas {
        let numbered = taxonomy == Taxonomy::Numbered;
        let mut blocked = BlockedAreas { areas: 0, below: 0, least: [u16::MAX; AREAS.len()], numbered };
        for category in categories {
            let areas = taxonomy.areas(&category);
            blocked.areas |= areas;
            match number(&category) {
                Some(number) if numbered => {
                    let least = &mut blocked.least[area(number)];
                    *least = number.min(*least);
                }
                _ if APART.contains(&&*category) => {}
                _ => blocked.below |= areas,
            }
        }
        blocked
    }

    /// Whether a creative's category may be one of them, or lie in one.
    pub fn block(&self, taxonomy: Taxonomy, category: &str) -> bool {
        let own = if self.numbered && taxonomy == Taxonomy::Numbered { number(category) } else { None };
        let Some(number) = own else { return self.areas & taxonomy.areas(category) != 0 };
        // A parent has a lower number: without the tree, any lower one may be it.
        let is_below = |number: u16| self.below & 1 << area(number) != 0 || self.least[area(number)] <= number;
        is_below(number) || MOVED.iter().any(|(moved, to)| *moved == number && is_below(*to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(list: (i64, &[&str]), creative: (i64, &str)) -> bool {
        let blocked = BlockedAreas::of(Taxonomy::of(list.0), list.1.iter().map(|c| (*c).into()));
        blocked.block(Taxonomy::of(creative.0), creative.1)
    }

    #[test]
    fn areas_are_those_of_the_first_tier() {
        for (number, want) in [(1, 0), (41, 0), (42, 1), (52, 2), (223, 9), (473, 22), (482, 22), (483, 23), (702, 28)]
        {
            assert_eq!(area(number), want, "{number}");
        }
        assert_eq!((number("0"), number("703"), number("+1"), number("JLBCU7")), (None, None, None, None));
    }

    #[test]
    fn lists_of_one_taxonomy_block_creatives_of_another() {
        for (list, creative, want) in [
            ((2, &["1"][..]), (1, "IAB2-3"), true),
            ((2, &["30"]), (1, "IAB2"), true),
            ((2, &["483"]), (1, "IAB2-3"), false),
            ((7, &["211"]), (1, "IAB8-5"), true),
            ((1, &["IAB8-5"]), (6, "211"), true),
            ((1, &["IAB8-5"]), (6, "483"), false),
            ((1, &["IAB9-30"]), (2, "680"), true),
            // Pornography and warez are mapped to nothing, and so is what is no category.
            ((2, &["483"]), (1, "IAB25-3"), true),
            ((2, &["483"]), (1, "IAB0"), true),
            ((7, &["v9i3On"]), (1, "IAB2"), true),
            ((3, &["1001"]), (1, "IAB2"), true),
            ((501, &["x"]), (2, "1"), true),
        ] {
            assert_eq!(blocks(list, creative), want, "{list:?} {creative:?}");
        }
    }

    #[test]
    fn numbers_block_themselves_and_what_may_be_below_them() {
        for (list, creative, want) in [
            (&["1"][..], "41", true),
            (&["30"], "30", true),
            (&["30"], "2", false),
            (&["2"], "1", false),
            (&["2"], "8", true),
            (&["42"], "41", false),
            (&["x"], "41", true),
            // 3.0: entertainment has the movies, shopping has got the party supplies, sensitive topics stand apart.
            (&["JLBCU7"], "324", true),
            (&["JLBCU7"], "473", false),
            (&["473"], "161", true),
            (&["v9i3On", "Rm3SiT"], "473", false),
            (&["v9i3On"], "v9i3On", true),
        ] {
            assert_eq!(blocks((2, list), (7, creative)), want, "{list:?} {creative}");
        }
    }
}
