//! `volume`: a drive, which its device alone writes.

use driftless_catalog::Volume;

use crate::three::Three;

#[test]
fn a_volume_is_seen_everywhere_and_written_by_its_device() {
    let three = Three::new();
    let mut volume = three.live(|tx| {
        let volume = Volume {
            id: tx.new_id(),
            fingerprint: "uuid:1".into(),
            name: "backup".into(),
            mount_point: "/mnt/backup".into(),
            fs_type: "ext4".into(),
            capacity: 1 << 40,
            removable: Some(true),
        };
        tx.put(&volume)?;
        Ok(volume)
    });
    three.all_have(&volume);

    volume.mount_point = "/media/backup".into();
    volume.removable = None;
    let changed = volume.clone();
    three.relayed(move |tx| tx.put(&changed));
    three.all_have(&volume);
    three.is_the_first_s_alone(&volume);

    let id = volume.id;
    three.live(move |tx| tx.drop_row::<Volume>(id));
    three.none_has::<Volume>(id);
    // What is gone can come back, under the same id.
    let again = volume.clone();
    three.relayed(move |tx| tx.put(&again));
    three.all_have(&volume);
    three.live(move |tx| tx.drop_row::<Volume>(id));
    three.none_has::<Volume>(id);
    three.end();
}
