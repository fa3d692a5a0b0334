//! The lines of a book: every stage with every reason it can have. A closed list, so that a guid's
//! counters are one small array.

/// The `stage` label of `guidon_records_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Taken from a sender.
    Received,
    /// Measured by the agent itself.
    Collected,
    /// Delivered to a destination.
    Sent,
    /// Lost, with a reason.
    Dropped,
}

impl Stage {
    /// As it stands in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Collected => "collected",
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }
}

/// Why a record was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The spool reached its bound and the oldest segment went.
    SpoolFull,
    /// The log held it once and cannot give it back: flipped bits, a deleted file.
    SpoolCorrupt,
    /// The queue in memory reached its bound (durability `memory`).
    QueueFull,
    /// The agent went down with it in memory (durability `memory`).
    Shutdown,
    /// The payload is not what its kind says.
    Malformed,
    /// An OTLP receiver took the request and rejected a part of it.
    Partial,
    /// The receiver's final no, by HTTP status.
    Refused400,
    /// 401.
    Refused401,
    /// 403.
    Refused403,
    /// 404.
    Refused404,
    /// 413.
    Refused413,
    /// 415.
    Refused415,
    /// 422.
    Refused422,
    /// Another 4xx.
    Refused4xx,
    /// A 5xx that the protocol calls final, after patience ran out.
    Refused5xx,
    /// A gRPC status that the protocol calls final.
    RefusedGrpc,
}

impl Reason {
    pub(crate) const ALL: [Self; 16] = [
        Self::SpoolFull,
        Self::SpoolCorrupt,
        Self::QueueFull,
        Self::Shutdown,
        Self::Malformed,
        Self::Partial,
        Self::Refused400,
        Self::Refused401,
        Self::Refused403,
        Self::Refused404,
        Self::Refused413,
        Self::Refused415,
        Self::Refused422,
        Self::Refused4xx,
        Self::Refused5xx,
        Self::RefusedGrpc,
    ];

    /// The reason for a final HTTP status.
    pub(crate) fn refused(status: u16) -> Self {
        match status {
            400 => Self::Refused400,
            401 => Self::Refused401,
            403 => Self::Refused403,
            404 => Self::Refused404,
            413 => Self::Refused413,
            415 => Self::Refused415,
            422 => Self::Refused422,
            500..=599 => Self::Refused5xx,
            _ => Self::Refused4xx,
        }
    }

    /// As it stands in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpoolFull => "spool_full",
            Self::SpoolCorrupt => "spool_corrupt",
            Self::QueueFull => "queue_full",
            Self::Shutdown => "shutdown",
            Self::Malformed => "malformed",
            Self::Partial => "partial",
            Self::Refused400 => "refused_400",
            Self::Refused401 => "refused_401",
            Self::Refused403 => "refused_403",
            Self::Refused404 => "refused_404",
            Self::Refused413 => "refused_413",
            Self::Refused415 => "refused_415",
            Self::Refused422 => "refused_422",
            Self::Refused4xx => "refused_4xx",
            Self::Refused5xx => "refused_5xx",
            Self::RefusedGrpc => "refused_grpc",
        }
    }
}

/// One line of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entry {
    /// Taken from a sender.
    Received,
    /// Found in the spool when it was opened.
    Recovered,
    /// Measured by the agent itself.
    Collected,
    /// Delivered.
    Sent,
    /// Lost.
    Dropped(Reason),
}

impl Entry {
    /// How many lines there are.
    pub(crate) const COUNT: usize = 4 + Reason::ALL.len();

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Received, Self::Recovered, Self::Collected, Self::Sent]
            .into_iter()
            .chain(Reason::ALL.into_iter().map(Self::Dropped))
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Received => 0,
            Self::Recovered => 1,
            Self::Collected => 2,
            Self::Sent => 3,
            Self::Dropped(reason) => 4 + reason as usize,
        }
    }

    /// The line for a frame that enters at a stage.
    pub(crate) fn entering(stage: Stage) -> Self {
        match stage {
            Stage::Collected => Self::Collected,
            Stage::Received | Stage::Sent | Stage::Dropped => Self::Received,
        }
    }

    /// The `stage` label.
    #[must_use]
    pub fn stage(self) -> Stage {
        match self {
            Self::Received | Self::Recovered => Stage::Received,
            Self::Collected => Stage::Collected,
            Self::Sent => Stage::Sent,
            Self::Dropped(_) => Stage::Dropped,
        }
    }

    /// The `reason` label.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Dropped(reason) => reason.as_str(),
            Self::Received | Self::Collected | Self::Sent => "",
        }
    }
}
