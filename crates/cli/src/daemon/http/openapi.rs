//! What all of this is, for programs: an OpenAPI description, made of the same table that requests go by.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::params::{Kind, Operation, Param};
use super::routes::{DOWN, Shape, Verb};
use super::{METRICS, METRICS_TYPE, events, reply, run};
use crate::answer::{PhaseProgress, StatusReport, StoppedReport};
use crate::daemon::http::guard::HEALTH;

/// Where it is.
pub(super) const PATH: &str = "/api/openapi.json";

/// What goes wrong, as every command says it.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct Error {
    error: ErrorWords,
}

/// What happened, what that means for the data, what to try next.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
struct ErrorWords {
    /// A stable word for programs.
    code: String,
    message: String,
    effect: String,
    next: String,
}

/// The description of everything.
pub(super) fn whole(operations: &BTreeMap<String, Operation>) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
    let mut schemas = settings.into_generator();
    let error = schemas.subschema_for::<Error>().to_value();
    let mut paths = Map::new();
    for (path, operation) in operations {
        paths.insert(path.clone(), of_command(operation, &mut schemas));
    }
    paths.extend(fixed(&mut schemas));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Driftless",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The commands of driftless over HTTP, on this machine alone: each answers \
                what it prints with --json. The token is what `driftless dashboard` tells."
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "responses": problems(&error),
            "schemas": schemas.take_definitions(true),
        },
    })
}

/// How requests fail, by status: the exit codes of commands, and what is HTTP's own.
const PROBLEMS: [(&str, &str, &str); 10] = [
    ("400", "Usage", "A parameter is wrong (exit code 2)"),
    ("401", "NoToken", "The token is missing or wrong"),
    ("403", "Refused", "Refused (exit code 4), or asked for by another site's page"),
    ("404", "NotFound", "There is no such record, path or device (exit code 3)"),
    ("405", "Method", "This is not how it is asked for"),
    ("408", "Slow", "The body did not come in time"),
    ("409", "NotYet", "Not yet (exit code 5)"),
    ("413", "TooLarge", "The body is too large"),
    ("415", "NoJson", "The body is no JSON"),
    (
        "500",
        "Failed",
        "I/O, a full or read-only disk, a database that is damaged or newer (exit code 1)",
    ),
];

fn problems(error: &Value) -> Value {
    let all = PROBLEMS.iter().map(|(_, name, about)| {
        let content = json!({reply::JSON: {"schema": error}});
        ((*name).to_owned(), json!({"description": about, "content": content}))
    });
    Value::Object(all.collect())
}

/// The answers of something that may fail in these ways.
fn responses(good: Value, bad: &[&str]) -> Value {
    let mut all = Map::new();
    all.insert("200".to_owned(), good);
    for (status, name, _) in PROBLEMS.iter().filter(|(status, ..)| bad.contains(status)) {
        let reference = json!({"$ref": format!("#/components/responses/{name}")});
        all.insert((*status).to_owned(), reference);
    }
    Value::Object(all)
}

fn of_command(operation: &Operation, schemas: &mut SchemaGenerator) -> Value {
    let route = operation.route;
    let schema = route.schema(schemas);
    let about = match route.shape {
        Shape::Lines => "One of these a line",
        Shape::One | Shape::List => "What the command prints with --json",
    };
    let mut good = json!({
        "description": about,
        "content": {run::content_type(route.shape): {"schema": schema}},
    });
    if route.shape == Shape::One {
        good["headers"] = json!({reply::EXIT.as_str(): {
            "description": "The exit code of the command",
            "schema": {"type": "integer", "minimum": 0, "maximum": 5},
        }});
    }
    let mut described = json!({
        "operationId": route.words.join("_").replace('-', "_"),
        "summary": operation.about.lines().next().unwrap_or_default(),
        "description": operation.about,
    });
    let common = ["400", "401", "403", "404", "405", "409", "500"];
    match route.verb {
        Verb::Get => {
            described["parameters"] = operation.params.iter().map(of_query).collect();
            described["responses"] = responses(good, &common);
            json!({"get": described})
        }
        Verb::Post => {
            described["requestBody"] = body(&operation.params);
            let bad = [&common[..], &["408", "413", "415"]].concat();
            described["responses"] = responses(good, &bad);
            json!({"post": described})
        }
    }
}

fn of_query(param: &Param) -> Value {
    json!({
        "name": param.name,
        "in": "query",
        "description": param.help,
        "required": param.required,
        "schema": schema(param, false),
    })
}

fn body(params: &[Param]) -> Value {
    let properties = params.iter().map(|param| {
        let mut schema = schema(param, true);
        if !param.required {
            // What is null is not said.
            schema = json!({"anyOf": [schema, {"type": "null"}]});
        }
        schema["description"] = param.help.as_str().into();
        (param.name.clone(), schema)
    });
    let properties: Map<String, Value> = properties.collect();
    let required: Vec<&str> =
        params.iter().filter(|param| param.required).map(|param| param.name.as_str()).collect();
    let schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    json!({"required": !required.is_empty(), "content": {reply::JSON: {"schema": schema}}})
}

fn schema(param: &Param, in_body: bool) -> Value {
    let raw = json!({
        "type": "object",
        "properties": {"raw": {"type": "string", "description": "Base64 of bytes that are no UTF-8"}},
        "required": ["raw"],
        "additionalProperties": false,
    });
    let one = match &param.kind {
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Text => json!({"type": "string"}),
        Kind::Whole => json!({"type": "integer", "minimum": 0}),
        Kind::Number => json!({"type": "number"}),
        Kind::Choice(values) => json!({"type": "string", "enum": values}),
        Kind::Path | Kind::PathOrName if in_body => json!({"anyOf": [{"type": "string"}, raw]}),
        Kind::Path | Kind::PathOrName => json!({"type": "string"}),
    };
    match param.many {
        true if param.required => json!({"type": "array", "items": one, "minItems": 1}),
        true => json!({"type": "array", "items": one}),
        false => one,
    }
}

/// What is no command of an open library.
fn fixed(schemas: &mut SchemaGenerator) -> Map<String, Value> {
    let status = schemas.subschema_for::<StatusReport>().to_value();
    let phase = schemas.subschema_for::<PhaseProgress>().to_value();
    let stopped = schemas.subschema_for::<StoppedReport>().to_value();
    let alive = json!({
        "type": "object",
        "properties": {"alive": {"const": true}},
        "required": ["alive"],
    });
    let one = |about: &str, ty: &str, schema: Value| json!({"description": about, "content": {ty: {"schema": schema}}});
    let events = format!(
        "Server-sent events. `hello` comes first; `change` says which models changed, \
         {{\"models\", \"here\", \"elsewhere\"}}, all of them if none is named; `phase` is {phase}; \
         `status` is {status}, with `sizes.parts` left out. Whoever does not read is cut off, and asks \
         for everything when it comes again."
    );
    let mut paths = Map::new();
    paths.insert(
        HEALTH.to_owned(),
        json!({"get": {
            "operationId": "healthz",
            "summary": "Whether the daemon lives; needs no token",
            "security": [],
            "responses": responses(one("It does", reply::JSON, alive), &["403", "405"]),
        }}),
    );
    paths.insert(PATH.to_owned(), json!({"get": {
        "operationId": "openapi",
        "summary": "This description",
        "responses": responses(one("It", reply::JSON, json!({"type": "object"})), &["401", "403", "405"]),
    }}));
    paths.insert(
        METRICS.to_owned(),
        json!({"get": {
            "operationId": "metrics",
            "summary": "Numbers for Prometheus, in its text format",
            "responses": responses(
                one("Metrics", METRICS_TYPE, json!({"type": "string"})),
                &["401", "403", "405", "500"],
            ),
        }}),
    );
    let mut streams =
        responses(one("Events", events::TYPE, json!({"type": "string"})), &["401", "403", "405"]);
    streams["429"] = one(
        "Too many streams are open",
        reply::JSON,
        json!({"$ref": "#/components/schemas/Error"}),
    );
    paths.insert(
        "/api/v1/events".to_owned(),
        json!({"get": {
            "operationId": "events",
            "summary": "What happens, as it happens",
            "description": events,
            "responses": streams,
        }}),
    );
    paths.insert(
        DOWN.to_owned(),
        json!({"post": {
            "operationId": "down",
            "summary": "Stop the daemon",
            "responses": responses(one("It stops", reply::JSON, stopped), &["401", "403", "405"]),
        }}),
    );
    paths
}
