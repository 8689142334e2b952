//! The classes of the remoting library that a channel writes: each name, serialVersionUID and field
//! stands here and nowhere else.

use java_object_stream::{Class, Field, jdk};

pub(crate) static COMMAND: Class = Class::new("hudson.remoting.Command", 1)
    .fields(&[Field::reference("createdAt", "Ljava/lang/Exception;")]);
pub(crate) static REQUEST: Class = Class::new("hudson.remoting.Request", 1)
    .fields(&[
        Field::int("id"),
        Field::int("lastIoId"),
        Field::reference("response", "Lhudson/remoting/Response;"),
    ])
    .extends(&COMMAND);
pub(crate) static USER_REQUEST: Class = Class::new("hudson.remoting.UserRequest", 1)
    .fields(&[
        Field::reference("classLoaderProxy", "Lhudson/remoting/RemoteClassLoader$IClassLoader;"),
        Field::reference("request", "[B"),
        Field::string("toString"),
    ])
    .extends(&REQUEST);
pub(crate) static RPC_REQUEST: Class =
    Class::new("hudson.remoting.RemoteInvocationHandler$RPCRequest", 1)
        .fields(&[
            Field::int("oid"),
            Field::reference("arguments", "[Ljava/lang/Object;"),
            Field::string("methodName"),
            Field::reference("types", "[Ljava/lang/String;"),
        ])
        .extends(&REQUEST);
pub(crate) static USER_RPC_REQUEST: Class = Class::new(
    "hudson.remoting.RemoteInvocationHandler$UserRPCRequest",
    -9_185_841_650_347_902_580,
)
.extends(&RPC_REQUEST);
pub(crate) static RESPONSE: Class = Class::new("hudson.remoting.Response", 1)
    .fields(&[
        Field::int("id"),
        Field::int("lastIoId"),
        Field::reference("exception", "Ljava/lang/Throwable;"),
        Field::reference("returnValue", "Ljava/io/Serializable;"),
    ])
    .extends(&COMMAND);
pub(crate) static NORMAL_RESPONSE: Class =
    Class::new("hudson.remoting.UserRequest$NormalResponse", 1)
        .fields(&[Field::reference("response", "[B")]);
pub(crate) static EXCEPTION_RESPONSE: Class =
    Class::new("hudson.remoting.UserRequest$ExceptionResponse", 1)
        .fields(&[Field::reference("proxyResponse", "[B"), Field::reference("rawResponse", "[B")]);
pub(crate) static CANCEL: Class =
    Class::new("hudson.remoting.Request$Cancel", -1_709_992_419_006_993_208)
        .fields(&[Field::int("id")])
        .extends(&COMMAND);
pub(crate) static UNEXPORT: Class =
    Class::new("hudson.remoting.UnexportCommand", 1).fields(&[Field::int("oid")]).extends(&COMMAND);
pub(crate) static CHUNK: Class = Class::new("hudson.remoting.ProxyOutputStream$Chunk", 1)
    .fields(&[
        Field::int("ioId"),
        Field::int("oid"),
        Field::int("requestId"),
        Field::reference("buf", "[B"),
    ])
    .extends(&COMMAND);
pub(crate) static FLUSH: Class = Class::new("hudson.remoting.ProxyOutputStream$Flush", 1)
    .fields(&[Field::int("ioId"), Field::int("oid"), Field::int("requestId")])
    .extends(&COMMAND);
pub(crate) static EOF: Class = Class::new("hudson.remoting.ProxyOutputStream$EOF", 1)
    .fields(&[
        Field::int("ioId"),
        Field::int("oid"),
        Field::int("requestId"),
        Field::reference("error", "Ljava/lang/Throwable;"),
    ])
    .extends(&COMMAND);
pub(crate) static STREAM_UNEXPORT: Class =
    Class::new("hudson.remoting.ProxyOutputStream$Unexport", 1)
        .fields(&[Field::int("ioId"), Field::int("oid")])
        .extends(&COMMAND);
pub(crate) static ACK: Class = Class::new("hudson.remoting.ProxyOutputStream$Ack", 1)
    .fields(&[Field::int("oid"), Field::int("size")])
    .extends(&COMMAND);
pub(crate) static NOTIFY_DEAD_WRITER: Class =
    Class::new("hudson.remoting.ProxyOutputStream$NotifyDeadWriter", 1)
        .fields(&[Field::int("oid")])
        .extends(&COMMAND);
pub(crate) static WRITER_CHUNK: Class = Class::new("hudson.remoting.ProxyWriter$Chunk", 1)
    .fields(&[Field::int("ioId"), Field::int("oid"), Field::reference("buf", "[C")])
    .extends(&COMMAND);
pub(crate) static WRITER_FLUSH: Class = Class::new("hudson.remoting.ProxyWriter$Flush", 1)
    .fields(&[Field::int("ioId"), Field::int("oid")])
    .extends(&COMMAND);
pub(crate) static WRITER_EOF: Class = Class::new("hudson.remoting.ProxyWriter$EOF", 1)
    .fields(&[Field::int("ioId"), Field::int("oid")])
    .extends(&COMMAND);
pub(crate) static WRITER_UNEXPORT: Class = Class::new("hudson.remoting.ProxyWriter$Unexport", 1)
    .fields(&[Field::int("ioId"), Field::int("oid")])
    .extends(&COMMAND);
pub(crate) static WRITER_ACK: Class = Class::new("hudson.remoting.ProxyWriter$Ack", 1)
    .fields(&[Field::int("oid"), Field::int("size")])
    .extends(&COMMAND);
pub(crate) static WRITER_NOTIFY_DEAD: Class =
    Class::new("hudson.remoting.ProxyWriter$NotifyDeadWriter", 1)
        .fields(&[Field::int("oid")])
        .extends(&COMMAND);
pub(crate) static INPUT_CHUNK: Class = Class::new("hudson.remoting.ProxyInputStream$Chunk", 1)
    .fields(&[Field::int("len"), Field::int("oid")])
    .extends(&REQUEST);
pub(crate) static INPUT_BUFFER: Class = Class::new("hudson.remoting.ProxyInputStream$Buffer", 1)
    .fields(&[Field::int("len"), Field::reference("buf", "[B")]);
pub(crate) static INPUT_EOF: Class = Class::new("hudson.remoting.ProxyInputStream$EOF", 1)
    .fields(&[Field::int("oid")])
    .extends(&COMMAND);
pub(crate) static CONNECT: Class =
    Class::new("hudson.remoting.Pipe$ConnectCommand", -9_128_735_897_846_418_140)
        .fields(&[Field::int("oidPos"), Field::int("oidRos")])
        .extends(&COMMAND);
pub(crate) static CLOSE: Class =
    Class::new("hudson.remoting.Channel$CloseCommand", 972_857_271_608_138_115).extends(&COMMAND);

pub(crate) static REMOTE_CLASS_LOADER: Class =
    Class::new("hudson.remoting.RemoteClassLoader$RemoteIClassLoader", 1)
        .fields(&[Field::int("oid")]);
pub(crate) static INVOCATION_HANDLER: Class =
    Class::new("hudson.remoting.RemoteInvocationHandler", 1)
        .fields(&[
            Field::bool("autoUnexportByCaller"),
            Field::bool("goingHome"),
            Field::int("oid"),
            Field::bool("recordCreatedAt"),
            Field::bool("userProxy"),
            Field::bool("userSpace"),
            Field::reference("origin", "Ljava/lang/Throwable;"),
        ])
        .with_write_method();
pub(crate) static REMOTE_OUTPUT_STREAM: Class =
    Class::new("hudson.remoting.RemoteOutputStream", 1).with_write_method();
pub(crate) static REMOTE_INPUT_STREAM: Class = Class::new("hudson.remoting.RemoteInputStream", 1)
    .fields(&[Field::bool("autoUnexport"), Field::bool("greedy")])
    .with_write_method_only();
/// Its serialVersionUID is implicit in the Java source; seen in every recorded exception.
pub(crate) static PROXY_EXCEPTION: Class =
    Class::new("hudson.remoting.ProxyException", 1_332_793_125_360_580_541)
        .extends(&jdk::IO_EXCEPTION);
pub(crate) static PING: Class = Class::new("hudson.remoting.PingThread$Ping", 1);
pub(crate) static IO_SYNCER: Class = Class::new("hudson.remoting.Channel$IOSyncer", 1);
pub(crate) static EXECUTION_EXCEPTION: Class =
    Class::new("java.util.concurrent.ExecutionException", 7_830_266_012_832_686_185)
        .extends(&jdk::EXCEPTION);

/// Names of classes that are only read.
pub(crate) mod name {
    pub(crate) const PIPE: &str = "hudson.remoting.Pipe";
    pub(crate) const RPC_REQUEST: &str = "hudson.remoting.RemoteInvocationHandler$RPCRequest";
    pub(crate) const GC_COMMAND: &str = "hudson.remoting.GCCommand";
    pub(crate) const USER_RESPONSE: &str = "hudson.remoting.UserResponse";
}

/// Classes of the remoting library whose `writeObject` writes none of their declared fields
/// (`Pipe.writeObject`, `RemoteInputStream.writeObject`).
pub const WITHOUT_DEFAULT_FIELDS: [&str; 2] = [name::PIPE, "hudson.remoting.RemoteInputStream"];
