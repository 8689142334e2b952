//! What a callable gives back: a value or a throwable.

use java_object_stream::{AccessError, Class, Datum, Object, jdk};

use crate::class;

/// The answer to a call.
#[derive(Debug)]
pub struct Reply {
    pub(crate) answer: Answer,
    pub(crate) loader: Option<i32>,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Here(Result<Datum, Throwable>),
    /// By the child. The class is what the request is counted as, if it is not the callable's own.
    Relayed(Option<String>),
}

/// A Java exception to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Throwable {
    object: Object,
    /// What `Throwable.toString()` gives at the peer.
    summary: String,
    /// Whether code of the peer's own classes would know what to do.
    beyond: bool,
}

impl Reply {
    /// A value.
    #[must_use]
    pub fn value(value: impl Into<Datum>) -> Self {
        Ok::<_, Throwable>(value).into()
    }

    /// Null, as `Void` callables return.
    #[must_use]
    pub fn null() -> Self {
        Self::value(Datum::Null)
    }

    /// An exception.
    #[must_use]
    pub fn throw(throwable: Throwable) -> Self {
        Err::<Datum, _>(throwable).into()
    }

    /// Not from here: the child of the channel's [`Fallback`](crate::relay::Fallback) is to answer. It
    /// gets the request as it came, so nothing of it, no stream and no proxy, may have been taken
    /// over. On a channel without a fallback the request fails.
    #[must_use]
    pub fn relayed() -> Self {
        Self { answer: Answer::Relayed(None), loader: None }
    }

    /// Whether it is [`Reply::relayed`].
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        matches!(self.answer, Answer::Relayed(_))
    }

    /// With the class that a relayed request is counted as and reported with, where the callable is a
    /// mere wrapper of another.
    #[must_use]
    pub fn of_class(mut self, class: impl Into<String>) -> Self {
        if let Answer::Relayed(name) = &mut self.answer {
            *name = Some(class.into());
        }
        self
    }

    /// With classes of the peer's loader `oid` instead of the loader of the callable.
    #[must_use]
    pub fn with_loader(mut self, oid: Option<i32>) -> Self {
        self.loader = oid.or(self.loader);
        self
    }

    /// The exception, if it is one.
    #[must_use]
    pub fn throwable(&self) -> Option<&Throwable> {
        match &self.answer {
            Answer::Here(result) => result.as_ref().err(),
            Answer::Relayed(_) => None,
        }
    }
}

impl<T: Into<Datum>> From<Result<T, Throwable>> for Reply {
    fn from(result: Result<T, Throwable>) -> Self {
        Self { answer: Answer::Here(result.map(Into::into)), loader: None }
    }
}

impl Throwable {
    /// A throwable of this class with a message.
    #[must_use]
    pub fn new(class: &'static Class, message: impl Into<String>) -> Self {
        let message = message.into();
        let summary = format!("{}: {message}", class.name());
        Self { object: jdk::throwable(class, message), summary, beyond: false }
    }

    /// A `java.io.IOException`.
    #[must_use]
    pub fn io(message: impl Into<String>) -> Self {
        Self::new(&jdk::IO_EXCEPTION, message)
    }

    /// A subclass of `java.nio.file.FileSystemException`: its message is made of its fields.
    #[must_use]
    pub fn file_system(
        class: &'static Class,
        file: impl Into<String>,
        other: Option<String>,
        reason: Option<String>,
    ) -> Self {
        let file = file.into();
        let mut summary = format!("{}: {file}", class.name());
        if let Some(other) = &other {
            summary.push_str(&format!(" -> {other}"));
        }
        if let Some(reason) = &reason {
            summary.push_str(&format!(": {reason}"));
        }
        let object = jdk::throwable(class, reason).with("file", file).with("other", other);
        Self { object, summary, beyond: false }
    }

    /// `java.lang.InterruptedException`, as a cancelled request gives.
    #[must_use]
    pub fn interrupted() -> Self {
        Self::new(&jdk::INTERRUPTED, "the request was cancelled")
    }

    /// Marks what is a limit of this side and no failure: the class that the request names would do it.
    #[must_use]
    pub fn beyond_this_side(mut self) -> Self {
        self.beyond = true;
        self
    }

    /// Whether it is marked as a limit of this side, as every field that cannot be read is.
    #[must_use]
    pub fn is_beyond_this_side(&self) -> bool {
        self.beyond
    }

    /// With a cause.
    #[must_use]
    pub fn caused_by(mut self, cause: Throwable) -> Self {
        self.object = self.object.with("cause", cause.object);
        self
    }

    /// With suppressed exceptions (`Throwable.getSuppressed()`): what else went wrong, shown with it in logs.
    #[must_use]
    pub fn suppressing(self, suppressed: Vec<Throwable>) -> Self {
        self.listing("suppressedExceptions", suppressed)
    }

    /// With a field of its class. What `toString()` gives is the same with it.
    #[must_use]
    pub fn with(mut self, field: &'static str, value: impl Into<Datum>) -> Self {
        self.object = self.object.with(field, value);
        self
    }

    /// With a field of its class that is a list of throwables.
    #[must_use]
    pub fn listing(self, field: &'static str, throwables: Vec<Throwable>) -> Self {
        let throwables = throwables.into_iter().map(Throwable::into_datum).collect();
        self.with(field, jdk::array_list(throwables))
    }

    /// What `toString()` gives at the peer.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    pub(crate) fn into_datum(self) -> Datum {
        self.object.into()
    }

    /// The stand-in that a peer without the class reads instead (`ProxyException`).
    pub(crate) fn proxy(&self) -> Datum {
        jdk::throwable(&class::PROXY_EXCEPTION, self.summary.clone()).into()
    }
}

/// A callable whose fields are not what its class declares in any version known.
impl From<AccessError> for Throwable {
    fn from(error: AccessError) -> Self {
        Self::io(format!("the agent cannot read the fields of this request: {error}"))
            .beyond_this_side()
    }
}
