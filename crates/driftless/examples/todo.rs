//! A to-do list that is the same on every device, and an app of its own.
//!
//! ```sh
//! cargo run --example todo -- /tmp/laptop new           # a list with one device
//! cargo run --example todo -- /tmp/laptop add "Water the plants"
//! cargo run --example todo -- /tmp/laptop watch         # syncs; prints a ticket, then the list as it changes
//! cargo run --example todo -- /tmp/phone join TICKET    # in another terminal, or on another machine
//! cargo run --example todo -- /tmp/phone watch
//! ```

use std::path::Path;

use driftless::{Error, Library, Models, SyncOptions, Syncable, Uuid, join};

#[derive(Syncable, Clone, PartialEq)]
#[sync(shared)]
struct Todo {
    id: Uuid,
    title: String,
    done: bool,
}

fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let models = Models::new().with::<Todo>();
    let here = SyncOptions { listen: Some(([127, 0, 0, 1], 0).into()), offline: true };
    let [dir, command, rest @ ..] = args.as_slice() else {
        println!("todo DIR new | add TITLE | done TITLE | list | watch | join TICKET");
        return Ok(());
    };
    let dir = Path::new(dir);
    match (*command, rest) {
        ("new", []) => drop(Library::create(dir, &models, "To do", "first")?),
        ("join", [ticket]) => {
            // Both devices show a code; a real app asks its user whether they are equal.
            drop(join(dir, &models, &ticket.parse()?, "another", &here, |_code, _name| true)?);
        }
        ("add", [title]) => {
            let title = (*title).to_owned();
            Library::open(dir, &models)?.write(|tx| {
                let id = tx.new_id();
                tx.insert(&Todo { id, title, done: false })
            })?;
        }
        ("done", [title]) => {
            let library = Library::open(dir, &models)?;
            for todo in todos(&library)?.into_iter().filter(|todo| todo.title == *title) {
                library.write(move |tx| tx.update(todo.id, |todo: &mut Todo| todo.done = true))?;
            }
        }
        ("list", []) => print(&todos(&Library::open(dir, &models)?)?),
        ("watch", []) => {
            let library = Library::open(dir, &models)?;
            library.sync(here)?;
            println!("ticket {}", library.invite(600_000)?);
            let changes = library.subscribe();
            print(&todos(&library)?);
            for change in changes {
                if change.concerns("todo") {
                    print(&todos(&library)?);
                }
            }
        }
        _ => println!("todo knows no {command:?} like that; call it without arguments for help"),
    }
    Ok(())
}

fn todos(library: &Library) -> Result<Vec<Todo>, Error> {
    library.query(|db| driftless::all(db, "true ORDER BY done, title", []))?
}

fn print(todos: &[Todo]) {
    let lines: Vec<String> =
        todos.iter().map(|t| format!("[{}] {}", if t.done { 'x' } else { ' ' }, t.title)).collect();
    println!("-- {} to do\n{}", todos.iter().filter(|t| !t.done).count(), lines.join("\n"));
}
