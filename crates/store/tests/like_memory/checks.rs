//! Everything that can be read of the two stores, compared.

use driftless_core::id::{DeviceId, RecordKey};
use driftless_core::record::Version;
use driftless_core::schema::{FieldType, MergeRule, ModelDescriptor};
use driftless_core::store::Store;
use driftless_core::value::Value;
use driftless_core::version::Vector;

use crate::common::pages::walk;
use crate::common::state;
use crate::ops::Op;
use crate::world::World;

impl World {
    pub(crate) fn check(&mut self) {
        let store = self.store.as_mut().unwrap();
        assert_eq!(state(store), state(&self.memory));
        self.check_mirror();
        self.check_history();
    }

    /// Everything that can be read, compared.
    pub(crate) fn check_all(&mut self) {
        self.run(&Op::Commit);
        self.check();
        self.check_snapshot();
        self.check_tables();
        let store = self.store.as_mut().unwrap();
        let log = self.memory.log(&Vector::new(), usize::MAX).unwrap();
        assert_eq!(store.log(&Vector::new(), usize::MAX).unwrap(), log);
        for (model, key, record) in self.memory.clone().records() {
            assert_eq!(store.record(*model, key).unwrap(), *record);
        }
        for lane in self.memory.lanes() {
            if self.memory.lane(&lane).is_some_and(|lane| lane.exact.is_some()) {
                let all = walk(&mut self.memory, &lane, usize::MAX, usize::MAX);
                assert_eq!(walk(store, &lane, usize::MAX, usize::MAX), all);
                assert_eq!(walk(store, &lane, 2, usize::MAX), all);
                assert_eq!(walk(store, &lane, usize::MAX, 100), all);
            }
        }
    }

    fn check_snapshot(&self) {
        let snapshot = self.store.as_ref().unwrap().snapshot().unwrap();
        let again = snapshot.read_rows().unwrap();
        assert_eq!((&again.digests, again.bad), (snapshot.digests(), vec![]));
        assert!(snapshot.check_structure(1).unwrap().is_empty());
        let exact = |lane: &DeviceId| self.memory.lane(lane).is_some_and(|l| l.exact.is_some());
        for model in snapshot.models().unwrap() {
            let all = snapshot.records(model, None, 1_000).unwrap();
            let memory = self.memory.records().filter(|(id, ..)| **id == model);
            let memory: Vec<_> =
                memory.map(|(_, key, record)| (key.clone(), record.clone())).collect();
            assert_eq!(all, memory);
            let mut memory = Vec::new();
            for lane in self.memory.lanes().into_iter().filter(exact) {
                let rows = self.memory.rows(&lane).into_iter().filter(|row| row.0.0 == model);
                memory.extend(rows.map(|((_, key), seq, fields)| (key, lane, seq, fields)));
            }
            memory.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
            for limit in [1, 1_000] {
                let mut after: Option<(RecordKey, DeviceId)> = None;
                let mut all = Vec::new();
                loop {
                    let at = after.as_ref().map(|(key, device)| (key, device));
                    let rows = snapshot.rows(model, at, limit).unwrap();
                    let Some(last) = rows.last() else { break };
                    after = Some((last.key.clone(), last.device));
                    let rows = rows.into_iter();
                    all.extend(
                        rows.map(|r| (r.key, r.device, r.seq, r.fields.into_iter().collect())),
                    );
                }
                assert_eq!(all, memory);
            }
        }
    }
}

/// Whether a column of this type can show a value.
fn shows(ty: FieldType, value: &Value) -> bool {
    match (ty, value) {
        (FieldType::Bool, Value::Int(n)) => (0..=1).contains(n),
        (FieldType::Int | FieldType::Time, Value::Int(_)) => true,
        (FieldType::Real, Value::Real(_)) => true,
        (FieldType::Text | FieldType::Json, Value::Text(_)) => true,
        (FieldType::Uuid, Value::Blob(bytes)) => bytes.len() == 16,
        (FieldType::Blob, Value::Blob(_)) => true,
        _ => false,
    }
}

impl World {
    /// What plain SQL sees.
    fn check_tables(&mut self) {
        let store = self.store.as_ref().unwrap();
        let mut refused = 0;
        for model in store.schema().iter() {
            let shared = model.kind.is_shared();
            let columns: Vec<_> = model.fields.iter().map(|f| format!("\"{}\"", f.name)).collect();
            let device = if shared { "x''" } else { "(SELECT device FROM _lane WHERE id = _lane)" };
            let sql =
                format!("SELECT id, {device}, {} FROM \"{}\"", columns.join(", "), model.name);
            let mut select = store.connection().prepare(&sql).unwrap();
            let mut rows = select.query([]).unwrap();
            let mut seen = 0;
            while let Some(row) = rows.next().unwrap() {
                let key = RecordKey::new(&row.get::<_, Vec<u8>>(0).unwrap()).unwrap();
                let device = row.get::<_, Vec<u8>>(1).unwrap();
                let Some((values, unfit)) = self.expected(model, &key, &device) else { continue };
                seen += 1;
                refused += unfit;
                for (at, value) in values.iter().enumerate() {
                    let found: rusqlite::types::Value = row.get(at + 2).unwrap();
                    assert_eq!(&found, value, "{} of {key}", columns[at]);
                }
            }
            if shared {
                let records = self.memory.records().filter(|(id, ..)| **id == model.id);
                assert_eq!(seen, records.filter(|(.., record)| record.is_alive()).count());
            } else {
                let wrong = format!(
                    "SELECT count(*) FROM _unknown_owned AS w WHERE model = {} AND NOT EXISTS \
                     (SELECT 1 FROM \"{}\" AS t JOIN _lane AS a ON a.id = t._lane, _lane AS b \
                      WHERE t.id = w.key AND b.id = w.lane AND a.device < b.device)",
                    model.id.0, model.name
                );
                let wrong: i64 =
                    store.connection().query_row(&wrong, [], |row| row.get(0)).unwrap();
                assert_eq!(wrong, 0, "a row without a table whose place is free");
            }
        }
        let noted = "SELECT count(*) FROM _quarantine WHERE reason = 2";
        let noted: i64 = store.connection().query_row(noted, [], |row| row.get(0)).unwrap();
        if store.lanes().iter().all(|lane| store.lane(lane).unwrap().session.is_none()) {
            assert_eq!(noted, refused);
        }
    }

    /// What the columns of a record's row should be, and how many values do not fit. `None` for a
    /// row that no exact state has.
    fn expected(
        &self,
        model: &ModelDescriptor,
        key: &RecordKey,
        device: &[u8],
    ) -> Option<(Vec<rusqlite::types::Value>, i64)> {
        let id = (model.id, key.clone());
        let mut unfit = 0;
        let mut shown = |ty, value: &Value| {
            unfit += i64::from(!value.is_null() && !shows(ty, value));
            if shows(ty, value) { sql_value(value) } else { rusqlite::types::Value::Null }
        };
        if model.kind.is_shared() {
            let (.., record) =
                self.memory.records().find(|(m, k, _)| (**m, *k) == (id.0, &id.1))?;
            let mut values = Vec::new();
            for f in &model.fields {
                let value = record.shown(f.id, f.rule);
                let odd = |v: &Version| !matches!(v.value, Value::Int(_));
                if f.rule != MergeRule::Lww && record.versions(f.id).iter().any(odd) {
                    shown(FieldType::Bool, &Value::Real(0.5));
                }
                values.push(shown(f.ty, &value));
            }
            return Some((values, unfit));
        }
        let lane = DeviceId(device.try_into().unwrap());
        self.memory.lane(&lane)?.exact?;
        let (_, _, fields) = self.memory.rows(&lane).into_iter().find(|row| row.0 == id)?;
        let null = Value::Null;
        let values: Vec<_> =
            model.fields.iter().map(|f| shown(f.ty, fields.get(&f.id).unwrap_or(&null))).collect();
        Some((values, unfit))
    }
}

fn sql_value(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match value {
        Value::Null => Sql::Null,
        Value::Int(n) => Sql::Integer(*n),
        Value::Real(x) => Sql::Real(*x),
        Value::Text(text) => Sql::Text(text.clone()),
        Value::Blob(bytes) => Sql::Blob(bytes.clone()),
    }
}
