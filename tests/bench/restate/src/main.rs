//! What the benchmarks of Stepcell measure themselves against: a handler for Restate's server that does the work of
//! their flow, one durable step for each of the flow's.

use restate_sdk::prelude::*;
use serde::{Deserialize, Serialize};

struct Rows;

/// What is asked for.
#[derive(Deserialize)]
struct Request {
    steps: usize,
    order: Order,
}

/// What goes from step to step.
#[derive(Clone, Serialize, Deserialize)]
struct Order {
    id: u64,
    tags: Vec<String>,
    #[serde(default)]
    text: String,
}

#[service]
impl Rows {
    /// Steps in a row, each with the order as the one before it left it.
    #[handler]
    async fn run(&self, context: Context<'_>, request: Json<Request>) -> HandlerResult<Json<Order>> {
        let Request { steps, mut order } = request.into_inner();
        for _ in 0..steps {
            let before = order;
            order = context.run(|| async move { Ok(Json(step(before))) }).await?.into_inner();
        }
        Ok(Json(order))
    }
}

fn step(order: Order) -> Order {
    Order { text: format!("order {}", order.id), ..order }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    HttpServer::new(Endpoint::builder().bind(Rows).build()).serve(listener).await;
    Ok(())
}
