//! `device`: the members, by name and address. Membership itself does not follow from these rows.

use driftless::{Device, Library};

use crate::three::{Three, until};

fn names(library: &Library) -> Vec<String> {
    let rows: Vec<Device> =
        library.query(|db| driftless::all(db, "true ORDER BY name", [])).unwrap().unwrap();
    rows.into_iter().map(|row| row.name).collect()
}

#[test]
fn devices_are_known_everywhere_and_have_the_names_that_people_give_them() {
    let three = Three::new();
    for library in three.all() {
        assert_eq!(names(library), ["first", "second", "third"]);
        // Certificates come beside the rows.
        until("all members are known", || library.members().unwrap().len() == 3);
    }
    let first = Device::row_id(&three.first.device_id());
    three.relayed(move |tx| tx.update(first, |row: &mut Device| row.name = "laptop".into()));
    for library in three.all() {
        assert_eq!(names(library), ["laptop", "second", "third"]);
    }
    // Anybody may give a device another name: whoever is to know it apart.
    three.by_the_third(move |tx| tx.update(first, |row: &mut Device| row.name = "desk".into()));
    for library in three.all() {
        assert_eq!(names(library), ["desk", "second", "third"]);
    }

    let second = Device::row_id(&three.second.device_id());
    assert!(three.live(move |tx| tx.delete::<Device>(second)));
    three.none_has::<Device>(second);
    for library in three.all() {
        let members = library.members().unwrap();
        let second = members.iter().find(|member| member.device == three.second.device_id());
        assert_eq!(second.unwrap().name, "second", "its certificate still says who it is");
    }
    // And all goes through it as before.
    three.relayed(move |tx| tx.update(first, |row: &mut Device| row.name = "first".into()));
    for library in three.all() {
        assert_eq!(names(library), ["first", "third"]);
    }
    three.end();
}
