//! A small web server that keeps its data in a library: run it on several devices, and all of them
//! serve the same.
//!
//! ```sh
//! cargo run --example axum -- /tmp/shelf 127.0.0.1:8080
//! curl -d '"Momo"' -H 'content-type: application/json' http://127.0.0.1:8080/books
//! curl http://127.0.0.1:8080/books
//! curl -X POST http://127.0.0.1:8080/ticket          # for `driftless::join` on another device
//! ```

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use driftless::{Error, Library, Models, SyncOptions, Syncable, Uuid};
use serde_json::{Value, json};

#[derive(Syncable)]
#[sync(shared)]
struct Book {
    id: Uuid,
    title: String,
}

type Shelf = State<Arc<Library>>;
type Answer = Result<Json<Value>, (StatusCode, String)>;

/// A library waits on its disk, so it is asked on a thread that may wait.
async fn ask<T: Send + 'static>(
    shelf: Arc<Library>,
    question: impl FnOnce(&Library) -> Result<T, Error> + Send + 'static,
) -> Result<T, (StatusCode, String)> {
    let asked = tokio::task::spawn_blocking(move || question(&shelf)).await;
    let failed =
        |error: &dyn std::error::Error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    asked.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

async fn list(State(shelf): Shelf) -> Answer {
    let books: Vec<Book> =
        ask(shelf, |shelf| shelf.query(|db| driftless::all(db, "true ORDER BY title", []))?)
            .await?;
    let books = books.iter().map(|book| json!({"id": book.id.to_string(), "title": book.title}));
    Ok(Json(books.collect()))
}

async fn add(State(shelf): Shelf, Json(title): Json<String>) -> Answer {
    let add = |shelf: &Library| {
        shelf.write(move |tx| {
            let book = Book { id: tx.new_id(), title };
            tx.insert(&book)?;
            Ok::<_, Error>(book.id)
        })
    };
    Ok(Json(json!({"id": ask(shelf, add).await?.to_string()})))
}

async fn ticket(State(shelf): Shelf) -> Answer {
    let ticket = ask(shelf, |shelf| shelf.invite(600_000)).await?;
    Ok(Json(json!({"ticket": ticket.to_string()})))
}

fn open(dir: &Path) -> Result<Library, Error> {
    let models = Models::new().with::<Book>();
    let library = if dir.join("library.db").exists() {
        Library::open(dir, &models)?
    } else {
        Library::create(dir, &models, "Shelf", "web server")?
    };
    library.sync(SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true })?;
    Ok(library)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, address] = args.as_slice() else {
        println!("axum DIR ADDRESS");
        return Ok(());
    };
    let library = Arc::new(open(Path::new(dir))?);
    let app = Router::new()
        .route("/books", get(list).post(add))
        .route("/ticket", post(ticket))
        .with_state(library);
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("http://{}", listener.local_addr()?);
        axum::serve(listener, app).await
    })?;
    Ok(())
}
