//! Collecting the models of a library.

mod file;

use driftless_core::schema::{ModelDescriptor, Schema, SchemaError, Syncable};

use crate::device::Device;

/// The models that a library is opened with. [`Device`] is always one of them.
///
/// ```
/// use driftless::{Models, Syncable, Uuid};
///
/// #[derive(Syncable)]
/// #[sync(shared)] // everybody writes them; merged field by field
/// struct Todo {
///     id: Uuid,
///     title: String,
/// }
///
/// #[derive(Syncable)]
/// #[sync(owned)] // only the device that made a row writes it
/// struct Reading {
///     id: Uuid,
///     value: i64,
/// }
///
/// let models = Models::new().with::<Todo>().with::<Reading>();
/// ```
#[derive(Clone, Debug)]
pub struct Models {
    descriptors: Vec<ModelDescriptor>,
}

impl Default for Models {
    fn default() -> Self {
        Self { descriptors: vec![Device::descriptor()] }
    }
}

impl Models {
    /// No model but [`Device`].
    ///
    /// ```
    /// let none_but_devices = driftless::Models::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// let models = Models::new().with::<Todo>();
    /// ```
    #[must_use]
    pub fn with<T: Syncable>(self) -> Self {
        self.with_descriptor(T::descriptor())
    }

    /// And this one, described at run time.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// // It may come from a file; here it is one that a derive made.
    /// let models = Models::new().with_descriptor(Todo::descriptor());
    /// ```
    #[must_use]
    pub fn with_descriptor(mut self, descriptor: ModelDescriptor) -> Self {
        self.descriptors.push(descriptor);
        self
    }

    /// The schema that the models make, or what is wrong with them.
    ///
    /// ```
    /// # mod home { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/home.rs")); }
    /// # use home::*;
    /// assert_eq!(models().check()?.model_named("todo").unwrap().fields.len(), 2);
    /// // Two models of one name are none.
    /// assert!(models().with::<Todo>().check().is_err());
    /// # Ok::<(), driftless::Error>(())
    /// ```
    pub fn check(&self) -> Result<Schema, SchemaError> {
        Schema::new(self.descriptors.iter().cloned())
    }
}
