//! Calls from this side to the peer.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use java_object_stream::{Datum, EncodeError, Object, encode, jdk};
use thiserror::Error;

use super::{Channel, Closed, Inner, IoScope};
use crate::class;
use crate::command::{Outcome, Outgoing, PlainValue};
use crate::jar::JarChecksum;
use crate::loader::LoaderTags;
use crate::reference::ProxyReference;

/// A call to the peer did not give a result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// The channel ended before the answer came.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The callable threw at the peer.
    #[error("the controller answered with an exception: {0}")]
    Thrown(String),
    /// The peer could not run the call, or could not send its result.
    #[error("the controller could not run the call: {0}")]
    Failed(String),
    /// The peer sent no request yet, so none of its class loaders is known to name classes with.
    #[error("no class loader of the controller is known yet")]
    NoLoader,
    /// The arguments cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// An object of the peer. Dropping it gives the reference back.
pub struct RemoteProxy {
    channel: Channel,
    reference: ProxyReference,
}

impl Channel {
    /// Runs a callable at the peer and returns the user stream of its result. A peer that is a
    /// controller runs few classes: see [`Channel::ping`] and [`RemoteProxy::invoke`].
    ///
    /// # Errors
    /// When the callable throws, or the channel ends.
    pub async fn call(&self, callable: Object) -> Result<Bytes, CallError> {
        self.call_after(callable, &IoScope::new()).await
    }

    /// The same, once the peer has taken all I/O of `scope`.
    ///
    /// # Errors
    /// When the callable throws, or the channel ends.
    pub async fn call_after(&self, callable: Object, scope: &IoScope) -> Result<Bytes, CallError> {
        let inner = &self.inner;
        let loader = inner.core_loader.load(Ordering::Acquire);
        if loader == 0 {
            return Err(CallError::NoLoader);
        }
        let description = callable.class().name().to_owned();
        let payload = encode(&callable.into(), &mut LoaderTags::new(loader))?;
        let id = inner.next_id();
        let last_io = scope.last();
        let request = Outgoing::UserRequest { id, last_io, loader, payload, description };
        match inner.request(id, request).await? {
            Outcome::Value(stream) => Ok(stream),
            Outcome::Thrown { message } => Err(CallError::Thrown(message)),
            Outcome::Failed { message } => Err(CallError::Failed(message)),
            Outcome::Plain(_) => {
                Err(CallError::Failed("an answer without a user stream".to_owned()))
            }
        }
    }

    /// Asks the peer for a sign of life (`PingThread$Ping`).
    ///
    /// # Errors
    /// When the channel ends first.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.call(Object::new(&class::PING)).await.map(drop)
    }

    /// Waits until the peer has finished all I/O sent so far (`Channel$IOSyncer`).
    ///
    /// # Errors
    /// When the channel ends first.
    pub async fn sync_io(&self) -> Result<(), CallError> {
        self.call(Object::new(&class::IO_SYNCER)).await.map(drop)
    }

    /// The class file of a class of the peer, through its loader `oid`
    /// (`RemoteClassLoader$IClassLoader.fetch`). It is data here: it can tell what the descriptors of a
    /// stream do not, such as what type a method returns.
    ///
    /// # Errors
    /// When the loader does not know the class, or the channel ends.
    pub async fn fetch_class(&self, oid: i32, class: &str) -> Result<Bytes, CallError> {
        let id = self.inner.next_id();
        let argument = class.to_owned();
        let request = Outgoing::SystemCall { id, oid, method: "fetch", argument };
        match self.inner.request(id, request).await? {
            Outcome::Plain(Some(PlainValue::Bytes(image))) => Ok(image),
            Outcome::Failed { message } | Outcome::Thrown { message } => {
                Err(CallError::Failed(message))
            }
            _ => Err(CallError::Failed("an answer that is no class file".to_owned())),
        }
    }

    /// The oid of the peer's first class loader, which knows the classes of its core and of the remoting
    /// library; `None` before the peer's first request.
    #[must_use]
    pub fn core_loader(&self) -> Option<i32> {
        Some(self.inner.core_loader.load(Ordering::Acquire)).filter(|oid| *oid != 0)
    }

    /// [`Channel::core_loader`] once the peer has sent a request; nothing when the channel ends first.
    pub async fn until_core_loader(&self) -> Option<i32> {
        loop {
            // Registered before the check, so that a request in between is not missed.
            let notified = self.inner.core_loader_known.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(oid) = self.core_loader() {
                return Some(oid);
            }
            tokio::select! {
                () = notified => {}
                _ = self.ended() => return self.core_loader(),
            }
        }
    }

    /// The class files that the peer's loader `oid` gives for a class, by name, with their jars
    /// (`RemoteClassLoader$IClassLoader.fetch3`).
    ///
    /// # Errors
    /// When the loader does not know the class, or the channel ends.
    pub(crate) async fn fetch_classes(
        &self,
        oid: i32,
        class: &str,
    ) -> Result<BTreeMap<String, Option<JarChecksum>>, CallError> {
        let id = self.inner.next_id();
        let argument = class.to_owned();
        let request = Outgoing::SystemCall { id, oid, method: "fetch3", argument };
        match self.inner.request(id, request).await? {
            Outcome::Plain(Some(PlainValue::Classes(classes))) => Ok(classes),
            Outcome::Failed { message } | Outcome::Thrown { message } => {
                Err(CallError::Failed(message))
            }
            _ => Err(CallError::Failed("an answer that holds no class files".to_owned())),
        }
    }

    /// Takes over a proxy that the peer sent.
    #[must_use]
    pub fn proxy(&self, reference: ProxyReference) -> RemoteProxy {
        RemoteProxy { channel: self.clone(), reference }
    }
}

impl Inner {
    /// Sends a request and waits for its outcome; cancels it at the peer when the caller goes away.
    pub(crate) async fn request(&self, id: i32, request: Outgoing) -> Result<Outcome, CallError> {
        let answer = self.calls.expect(id);
        let mut guard = CancelOnDrop { inner: self, id, sent: false };
        self.send(request).await?;
        guard.sent = true;
        answer.await.map_err(|_| CallError::Closed(Closed))
    }
}

/// Forgets a call, answered or not; one that is still running at the peer is cancelled there.
struct CancelOnDrop<'i> {
    inner: &'i Inner,
    id: i32,
    sent: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        let unanswered = self.inner.calls.take(self.id).is_some();
        if unanswered && self.sent {
            self.inner.post(Outgoing::Cancel { id: self.id });
        }
    }
}

impl RemoteProxy {
    /// Calls a method. `types` are the names of the declared parameter types as
    /// `java.lang.Class.getName` gives them; primitive arguments go boxed. The peer runs it once it has
    /// taken all I/O of `scope`.
    ///
    /// # Errors
    /// When the method throws, or the channel ends.
    pub async fn invoke(
        &self,
        method: &'static str,
        types: &[&'static str],
        arguments: Vec<Datum>,
        scope: &IoScope,
    ) -> Result<Bytes, CallError> {
        let types = types.iter().map(|name| Datum::from(*name)).collect();
        let request = Object::new(&class::USER_RPC_REQUEST)
            .with("id", self.channel.inner.next_id())
            .with("oid", self.reference.oid)
            .with("methodName", method)
            .with("types", Datum::Array(&jdk::STRING_ARRAY, types))
            .with("arguments", Datum::Array(&jdk::OBJECT_ARRAY, arguments));
        self.channel.call_after(request, scope).await
    }
}

impl Drop for RemoteProxy {
    fn drop(&mut self) {
        // An object that comes home, or that its sender releases, is not ours to give back.
        if !self.reference.going_home && !self.reference.auto_unexport {
            self.channel.inner.post(Outgoing::Unexport { oid: self.reference.oid });
        }
    }
}
