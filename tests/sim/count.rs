//! What happened how often: a world that never does something proves nothing about it.

use std::fmt::Write;

macro_rules! kinds {
    ($($name:ident => $text:literal),+ $(,)?) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($name),+ }

        const KINDS: &[(Kind, &str)] = &[$((Kind::$name, $text)),+];
    };
}

kinds! {
    Bid => "bid made",
    TestBid => "test bid made",
    NoMoney => "no bid: no money",
    PerClick => "bid made by a click model",
    Multiple => "bid made for more impressions than one",
    TwoBids => "two bids in one response",
    NotBidding => "no bid: paused or deleted",
    NoBucket => "no bid: the log's time stands still",
    Capped => "no bid: the user's cap is reached",
    NoUser => "no bid: nobody knows the user",
    EvictedUser => "no bid: the user may be evicted",
    ForUnknown => "bid for a user nobody knows",
    Crowd => "user store crowded",
    BidRefused => "bid refused by the log",
    NotOpen => "no bid: log full or starting",
    Write => "writer stepped",
    Prepare => "preparer stepped",
    Win => "win delivered",
    Bill => "bill delivered",
    Loss => "loss delivered",
    Duplicate => "notice delivered again",
    Lost => "notice lost by the network",
    NobodyThere => "notice met a dead server",
    Acknowledged => "notice acknowledged",
    Busy => "notice refused: log behind",
    Full => "notice refused: disk full",
    Unknown => "notice never answered",
    Altered => "altered token refused",
    ForeignKey => "token of another key refused",
    Expired => "expired token refused",
    OtherNode => "token of another node refused",
    Encrypted => "encrypted price",
    ForgedPrice => "forged price",
    OddOfGone => "price of an exchange that is gone",
    OwnCurrency => "price in the campaign's currency",
    Click => "click reported",
    Tracked => "click in the log",
    TrackRefused => "click refused by the log",
    Unusable => "notice without a usable price",
    AboveBid => "price above the bid",
    OtherCurrency => "price in a currency without a rate",
    Booked => "booked",
    BookedLate => "booked late",
    BookedFree => "booked at zero",
    AgainAfterBilled => "bill after it was billed",
    BillAfterLoss => "bill after a loss",
    LossAfterWin => "loss after a win",
    LateWin => "win after the auction lifetime",
    BillOnWin => "bill where wins are paid",
    Forgotten => "notice for what an earlier start forgot",
    OfEarlierStart => "bill of an earlier start",
    BidLostInCrash => "bill of a bid the log lost",
    OtherNumber => "started under another node number",
    OfAnotherNumber => "bill of a bid under another node number",
    BookedMultiple => "booked for more impressions than one",
    BookedPerClick => "booked at a click model's price",
    Raise => "budget raised",
    Cut => "budget cut",
    Daily => "daily cap changed",
    Pause => "paused or resumed",
    Delete => "campaign deleted",
    PutAgain => "deleted campaign put again",
    EditRefused => "edit refused",
    LeaseRefused => "lease asked for at an edit refused",
    Granted => "lease granted",
    Returned => "lease returned",
    Reclaimed => "lease of an earlier start reclaimed",
    ReclaimedAcross => "... of which it had waited over starts",
    StillRunning => "start told that it still runs",
    Longer => "lifetimes longer than at the last start",
    Shorter => "lifetimes shorter than at the last start",
    Reconcile => "reconciler round",
    Saved => "books saved",
    Forget => "reservation bits forgotten",
    Wait => "pause",
    Jump => "clock jumped ahead",
    Behind => "wall clock behind at a start",
    QuietNight => "crash after a quiet night",
    Stall => "disk slow for seconds",
    DiskFull => "disk full",
    DiskFreed => "disk freed",
    SyncFails => "sync failed",
    Start => "started",
    StartDied => "died while starting",
    Kill => "killed between two steps",
    PowerCut => "power cut between two steps",
    DiedInStep => "died within a step of the disk",
    TornDisk => "disk after a power cut",
    OldBooks => "last saved books lost in a power cut",
    Stop => "stopped in order",
    StopDied => "died while stopping",
    Rotate => "notice key rotated",
}

/// One number per kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; KINDS.len()]);

impl Default for Counts {
    fn default() -> Counts {
        Counts([0; KINDS.len()])
    }
}

impl Counts {
    pub fn note(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    pub fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, n)| *sum += n);
    }

    pub fn never(&self) -> Vec<&'static str> {
        KINDS.iter().filter(|(kind, _)| self.0[*kind as usize] == 0).map(|(_, text)| *text).collect()
    }

    pub fn table(&self) -> String {
        let mut out = String::new();
        for row in KINDS.chunks(2) {
            for (kind, text) in row {
                let _ = write!(out, "{text:<42}{:>11}    ", self.0[*kind as usize]);
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        out
    }
}
