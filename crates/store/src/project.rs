//! The schema in the tables.

use driftless_core::schema::{ModelDescriptor, Schema};
use rusqlite::{Connection, params};

use crate::error::{StoreError, Within};
use crate::layout::{Layout, quoted};

const DOING: &str = "making the tables of the schema";

/// Brings the tables of the models to the state that the schema asks for.
pub(crate) fn bring_up_to_date(
    conn: &Connection,
    schema: &Schema,
    layout: &Layout,
) -> Result<(), StoreError> {
    let known: i64 =
        conn.query_row("SELECT count(*) FROM _model", [], |row| row.get(0)).within(conn, DOING)?;
    if known > 0 {
        return Ok(());
    }
    conn.execute_batch("BEGIN IMMEDIATE").within(conn, DOING)?;
    for model in schema.iter() {
        create(conn, model, layout)?;
    }
    conn.execute_batch("COMMIT").within(conn, DOING)
}

fn create(conn: &Connection, model: &ModelDescriptor, layout: &Layout) -> Result<(), StoreError> {
    let order: Vec<_> = model.fields.iter().map(|field| field.id).collect();
    let Some(table) = layout.table(model.id) else { return Ok(()) };
    conn.execute_batch(&table.create(&order)).within(conn, DOING)?;
    conn.execute(
        "INSERT INTO _model (id, name, kind) VALUES (?1, ?2, ?3)",
        params![model.id.0, model.name, model.kind as i64],
    )
    .within(conn, DOING)?;
    for index in &model.indexes {
        let columns: Vec<String> = index.columns.iter().map(|name| quoted(name)).collect();
        let name = quoted(&format!("_ix.{}.{}", model.name, index.columns.join(".")));
        let only = if index.partial {
            format!(" WHERE {} IS NOT NULL", columns[0])
        } else {
            String::new()
        };
        let sql = format!(
            "CREATE INDEX {name} ON {} ({}){only}",
            quoted(&model.name),
            columns.join(", ")
        );
        conn.execute_batch(&sql).within(conn, DOING)?;
    }
    Ok(())
}
