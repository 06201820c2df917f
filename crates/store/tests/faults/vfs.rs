//! The default VFS of this process: the system's own, with a [`Disk`] looking over its shoulder.
//!
//! It is a shim: files, locks and shared memory are those of SQLite's own VFS, so that the store runs
//! as it always does, with all its connections. Each thread may lay a disk under what it does; what
//! SQLite does in it is then counted, kept in mind, and made to fail. What the store writes and
//! syncs without SQLite comes by as well, as this process has its own `write`, `fsync` and `fdatasync`. Nothing is really
//! synced: the disk knows what would be.
#![allow(unsafe_code, reason = "SQLite's VFS and the C library's fsync are C interfaces")]

use std::cell::RefCell;
use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, Once, OnceLock};

use rusqlite::ffi;

use crate::disk::{Disk, Fate, Kind};

/// A disk that a thread and the files on it share.
pub(crate) type Shared = Arc<Mutex<Disk>>;

thread_local! {
    static CURRENT: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// Lays a disk under what this thread does, until the guard is dropped.
pub(crate) fn lay(disk: Disk) -> (Shared, Laid) {
    register();
    let disk = Arc::new(Mutex::new(disk));
    let laid = lay_again(&disk);
    (disk, laid)
}

/// Lays a disk that has been there before.
pub(crate) fn lay_again(disk: &Shared) -> Laid {
    CURRENT.set(Some(Arc::clone(disk)));
    Laid
}

/// While it lives, a disk lies under this thread.
pub(crate) struct Laid;

impl Drop for Laid {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// An open file: SQLite's part, ours, and behind it the system's.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    ours: *mut Handle,
}

/// What is known of an open file.
struct Handle {
    disk: Shared,
    path: Option<PathBuf>,
    /// Its number on the disk; a temporary file has none.
    node: Option<usize>,
    /// Made with this handle, and its name not synced yet; SQLite sees to that with the first sync of a
    /// journal.
    sync_name: bool,
}

struct Real(*mut ffi::sqlite3_vfs);
// SAFETY: SQLite's own VFS is made to be used from all threads, and lives as long as the process.
unsafe impl Send for Real {}
// SAFETY: as above.
unsafe impl Sync for Real {}

static REAL: OnceLock<Real> = OnceLock::new();

fn real() -> *mut ffi::sqlite3_vfs {
    REAL.get().expect("it is registered").0
}

fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default VFS is a valid struct for ever, and so is the copy of it, which is
        // leaked; the functions that are not replaced do not look at which VFS they are given, except
        // for its limit of names, which is copied.
        unsafe {
            let found = ffi::sqlite3_vfs_find(ptr::null());
            assert!(!found.is_null());
            let ours = ffi::sqlite3_vfs {
                szOsFile: (*found).szOsFile + c_int::try_from(size_of::<File>()).unwrap(),
                pNext: ptr::null_mut(),
                zName: c"driftless-faults".as_ptr(),
                xOpen: Some(x_open),
                xDelete: Some(x_delete),
                xAccess: Some(x_access),
                ..*found
            };
            assert!(REAL.set(Real(found)).is_ok());
            assert_eq!(ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1), ffi::SQLITE_OK);
        }
    });
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    // Without memory-mapped reads, which would not be counted.
    iVersion: 2,
    xClose: Some(x_close),
    xRead: Some(x_read),
    xWrite: Some(x_write),
    xTruncate: Some(x_truncate),
    xSync: Some(x_sync),
    xFileSize: Some(x_file_size),
    xLock: Some(x_lock),
    xUnlock: Some(x_unlock),
    xCheckReservedLock: Some(x_check_reserved_lock),
    xFileControl: Some(x_file_control),
    xSectorSize: Some(x_sector_size),
    xDeviceCharacteristics: Some(x_device_characteristics),
    xShmMap: Some(x_shm_map),
    xShmLock: Some(x_shm_lock),
    xShmBarrier: Some(x_shm_barrier),
    xShmUnmap: Some(x_shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

fn current() -> Option<Shared> {
    CURRENT.with_borrow(Clone::clone)
}

/// A file's name; `None` for a temporary one.
///
/// # Safety
/// `name` is null or a string.
unsafe fn path(name: *const c_char) -> Option<PathBuf> {
    // SAFETY: the caller's promise.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) })?;
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

/// The system's part of an open file, and its methods.
///
/// # Safety
/// `file` was opened by [`x_open`].
unsafe fn inner(
    file: *mut ffi::sqlite3_file,
) -> (*mut ffi::sqlite3_file, &'static ffi::sqlite3_io_methods) {
    // SAFETY: SQLite gives `szOsFile` bytes, of which the system's part begins behind ours; its methods
    // are static.
    unsafe {
        let inner = file.cast::<File>().add(1).cast::<ffi::sqlite3_file>();
        (inner, &*(*inner).pMethods)
    }
}

/// # Safety
/// `file` was opened by [`x_open`].
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> Option<&'a mut Handle> {
    // SAFETY: `ours` is null or a box that lives until the file is closed; SQLite uses a file from one
    // thread at a time.
    unsafe { (*file.cast::<File>()).ours.as_mut() }
}

impl Handle {
    fn operation(&self, kind: Kind) -> Fate {
        self.disk.lock().unwrap().operation(kind, self.path.as_deref())
    }
}

/// How an operation on an open file ends.
///
/// # Safety
/// `file` was opened by [`x_open`].
unsafe fn fate(file: *mut ffi::sqlite3_file, kind: Kind) -> Fate {
    // SAFETY: the caller's promise.
    unsafe { handle(file) }.map_or(Fate::Well, |handle| handle.operation(kind))
}

unsafe extern "C" fn x_open(
    _: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's promises for xOpen: `file` has `szOsFile` bytes, `name` is null or a string that
    // lives as long as the file. `pMethods` is null if nothing was opened.
    unsafe {
        let ours = file.cast::<File>();
        (*ours).base.pMethods = ptr::null();
        (*ours).ours = ptr::null_mut();
        let path = path(name);
        let disk = current();
        if let Some(disk) = &disk
            && disk.lock().unwrap().operation(Kind::Open, path.as_deref()) != Fate::Well
        {
            return ffi::SQLITE_CANTOPEN;
        }
        let was_there = path.as_ref().is_some_and(|path| path.exists());
        let behind = ours.add(1).cast::<ffi::sqlite3_file>();
        let opened = (*real()).xOpen.unwrap()(real(), name, behind, flags, out);
        if opened != ffi::SQLITE_OK {
            return opened;
        }
        if let Some(disk) = disk {
            let node = path.as_ref().and_then(|path| disk.lock().unwrap().opened(path, was_there));
            let journal = flags & (ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL) != 0;
            let handle = Handle { disk, path, node, sync_name: journal && !was_there };
            (*ours).ours = Box::into_raw(Box::new(handle));
        }
        (*ours).base.pMethods = &raw const METHODS;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn x_delete(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_dir: c_int,
) -> c_int {
    // SAFETY: `name` is a string. The folder is not synced by the system, but by the disk.
    unsafe {
        let (Some(disk), Some(path)) = (current(), path(name)) else {
            return (*real()).xDelete.unwrap()(real(), name, 0);
        };
        let mut disk = disk.lock().unwrap();
        match disk.operation(Kind::Delete, Some(&path)) {
            Fate::Well => {}
            fate => {
                if fate == Fate::Cut {
                    disk.deleted(&path);
                }
                return ffi::SQLITE_IOERR_DELETE;
            }
        }
        let done = (*real()).xDelete.unwrap()(real(), name, 0);
        if done == ffi::SQLITE_OK {
            disk.deleted(&path);
            if sync_dir != 0 {
                disk.folder_synced();
            }
        }
        done
    }
}

unsafe extern "C" fn x_access(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: as SQLite calls it.
    unsafe {
        if let Some(disk) = current()
            && disk.lock().unwrap().operation(Kind::Access, path(name).as_deref()) != Fate::Well
        {
            return ffi::SQLITE_IOERR_ACCESS;
        }
        (*real()).xAccess.unwrap()(real(), name, flags, out)
    }
}

unsafe extern "C" fn x_close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: `file` is open; our part is freed once, as it is null from then on.
    unsafe {
        let (behind, methods) = inner(file);
        let done = methods.xClose.unwrap()(behind);
        let ours = &mut (*file.cast::<File>()).ours;
        if !ours.is_null() {
            drop(Box::from_raw(*ours));
            *ours = ptr::null_mut();
        }
        done
    }
}

unsafe extern "C" fn x_read(
    file: *mut ffi::sqlite3_file,
    into: *mut c_void,
    amount: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as SQLite calls it.
    unsafe {
        if fate(file, Kind::Read) != Fate::Well {
            return ffi::SQLITE_IOERR_READ;
        }
        let (behind, methods) = inner(file);
        methods.xRead.unwrap()(behind, into, amount, at)
    }
}

unsafe extern "C" fn x_write(
    file: *mut ffi::sqlite3_file,
    from: *const c_void,
    amount: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as SQLite calls it: `from` has `amount` bytes.
    unsafe {
        let (behind, methods) = inner(file);
        let write = methods.xWrite.unwrap();
        let Some(handle) = handle(file) else { return write(behind, from, amount, at) };
        let mut disk = handle.disk.lock().unwrap();
        let fate = disk.operation(Kind::Write, handle.path.as_deref());
        let (amount, error) = match fate {
            Fate::Well | Fate::Cut => (amount, ffi::SQLITE_IOERR_WRITE),
            // Some of it is there.
            Fate::Full => (amount.min(512), ffi::SQLITE_FULL),
            Fate::Fails => return ffi::SQLITE_IOERR_WRITE,
        };
        if fate != Fate::Cut {
            let done = write(behind, from, amount, at);
            if done != ffi::SQLITE_OK {
                return done;
            }
        }
        if let Some(node) = handle.node {
            let len = usize::try_from(amount).unwrap();
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), len);
            disk.written(node, usize::try_from(at).unwrap(), bytes);
        }
        if fate == Fate::Well { ffi::SQLITE_OK } else { error }
    }
}

unsafe extern "C" fn x_truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: as SQLite calls it.
    unsafe {
        let fate = fate(file, Kind::Truncate);
        let (behind, methods) = inner(file);
        let done = match fate {
            Fate::Well => methods.xTruncate.unwrap()(behind, size),
            _ => ffi::SQLITE_IOERR_TRUNCATE,
        };
        if (done == ffi::SQLITE_OK || fate == Fate::Cut)
            && let Some(handle) = handle(file)
            && let Some(node) = handle.node
        {
            handle.disk.lock().unwrap().truncated(node, usize::try_from(size).unwrap());
        }
        done
    }
}

unsafe extern "C" fn x_sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: as SQLite calls it.
    let Some(handle) = (unsafe { handle(file) }) else { return ffi::SQLITE_OK };
    let mut disk = handle.disk.lock().unwrap();
    let fate = disk.operation(Kind::Sync, handle.path.as_deref());
    match (fate, handle.node) {
        (Fate::Well, Some(node)) => disk.synced(node),
        (Fate::Fails | Fate::Full, Some(node)) => disk.sync_failed(node),
        (_, None) | (Fate::Cut, _) => {}
    }
    if fate != Fate::Well {
        return ffi::SQLITE_IOERR_FSYNC;
    }
    if std::mem::take(&mut handle.sync_name) {
        disk.folder_synced();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_file_size(
    file: *mut ffi::sqlite3_file,
    size: *mut ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as SQLite calls it.
    unsafe {
        if fate(file, Kind::Size) != Fate::Well {
            return ffi::SQLITE_IOERR_FSTAT;
        }
        let (behind, methods) = inner(file);
        methods.xFileSize.unwrap()(behind, size)
    }
}

unsafe extern "C" fn x_shm_map(
    file: *mut ffi::sqlite3_file,
    page: c_int,
    size: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: as SQLite calls it.
    unsafe {
        if fate(file, Kind::Map) != Fate::Well {
            return ffi::SQLITE_IOERR_SHMMAP;
        }
        let (behind, methods) = inner(file);
        methods.xShmMap.unwrap()(behind, page, size, extend, out)
    }
}

/// Methods that only go through.
macro_rules! through {
    ($($name:ident => $method:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file $(, $arg: $ty)*) $(-> $out)? {
            // SAFETY: as SQLite calls it.
            unsafe {
                let (behind, methods) = inner(file);
                methods.$method.unwrap()(behind $(, $arg)*)
            }
        }
    )*};
}

through! {
    x_lock => xLock(level: c_int) -> c_int;
    x_unlock => xUnlock(level: c_int) -> c_int;
    x_check_reserved_lock => xCheckReservedLock(out: *mut c_int) -> c_int;
    x_file_control => xFileControl(op: c_int, arg: *mut c_void) -> c_int;
    x_sector_size => xSectorSize() -> c_int;
    x_device_characteristics => xDeviceCharacteristics() -> c_int;
    x_shm_lock => xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int;
    x_shm_barrier => xShmBarrier();
    x_shm_unmap => xShmUnmap(delete: c_int) -> c_int;
}

/// What the store syncs by itself.
fn sync_descriptor(fd: c_int) -> c_int {
    let Some(disk) = current() else { return 0 };
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{fd}")) else { return 0 };
    match sync_path(&mut disk.lock().unwrap(), &path) {
        Fate::Well => 0,
        _ => {
            // SAFETY: the C library's place for this thread's error number.
            unsafe { *__errno_location() = EIO };
            -1
        }
    }
}

fn sync_path(disk: &mut Disk, path: &Path) -> Fate {
    let (node, root) = (disk.node(path), disk.is_root(path));
    if node.is_none() && !root {
        return Fate::Well;
    }
    let fate = disk.operation(Kind::Sync, Some(path));
    match (fate, node) {
        (Fate::Well, Some(node)) => disk.synced(node),
        (Fate::Well, None) => disk.folder_synced(),
        (Fate::Fails | Fate::Full, Some(node)) => disk.sync_failed(node),
        (Fate::Fails | Fate::Full, None) | (Fate::Cut, _) => {}
    }
    fate
}

/// What the store writes by itself. Whether it goes well.
fn write_descriptor(fd: c_int, bytes: &[u8]) -> bool {
    let Some(disk) = current() else { return true };
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{fd}")) else { return true };
    // Whoever tells of a failure may hold the disk.
    if !path.to_string_lossy().ends_with("-wal") {
        return true;
    }
    let mut disk = disk.lock().unwrap();
    let Some(node) = disk.node(&path) else { return true };
    let fate = disk.operation(Kind::Write, Some(&path));
    if matches!(fate, Fate::Well | Fate::Cut) {
        // SAFETY: it takes numbers, and says where the descriptor stands.
        let at = unsafe { lseek(fd, 0, SEEK_CUR) };
        disk.written(node, usize::try_from(at).unwrap(), bytes);
    }
    fate == Fate::Well
}

const EIO: c_int = 5;
const SEEK_CUR: c_int = 1;
#[cfg(target_arch = "x86_64")]
const SYS_WRITE: c_long = 1;
#[cfg(target_arch = "aarch64")]
const SYS_WRITE: c_long = 64;

// SAFETY: these are the C library's functions, as Linux on 64 bits has them.
unsafe extern "C" {
    safe fn __errno_location() -> *mut c_int;
    fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
    fn syscall(number: c_long, ...) -> c_long;
}

/// The C library's function, for this process.
// SAFETY: it has the type and the meaning of the one that it stands for.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, from: *const c_void, count: usize) -> isize {
    // SAFETY: the caller's promise: `from` has `count` bytes.
    unsafe {
        if count > 0 && !write_descriptor(fd, std::slice::from_raw_parts(from.cast(), count)) {
            *__errno_location() = EIO;
            return -1;
        }
        isize::try_from(syscall(SYS_WRITE, fd, from, count)).unwrap_or(-1)
    }
}

/// The C library's function, for this process.
// SAFETY: it has the type and the meaning of the one that it stands for.
#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    sync_descriptor(fd)
}

/// The C library's function, for this process.
// SAFETY: as above.
#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync_descriptor(fd)
}
