//! The log on Apache Kafka, against a real broker that the tests start (`tests/kafka/broker`). Where there is no Java or no Maven
//! they say so and pass.

mod books;
mod broker;
mod failures;
mod fleet;
mod game;
mod log;
mod records;
mod secrets;
mod tools;
mod topics;

#[path = "../it/http.rs"]
#[expect(dead_code, reason = "more of it is for tests/it")]
mod http;
#[path = "../it/make.rs"]
#[expect(dead_code, reason = "more of it is for tests/it")]
mod make;
#[path = "../it/process.rs"]
#[expect(dead_code, reason = "more of it is for tests/it")]
mod process;
#[path = "../it/server.rs"]
#[expect(dead_code, reason = "more of it is for tests/it")]
mod server;
