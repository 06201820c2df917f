//! Collecting the models of a library.

mod file;

use driftless_core::schema::{ModelDescriptor, Schema, SchemaError, Syncable};

use crate::device::Device;

/// The models that a library is opened with. [`Device`] is always one of them.
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
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn with<T: Syncable>(self) -> Self {
        self.with_descriptor(T::descriptor())
    }

    /// And this one, described at run time.
    #[must_use]
    pub fn with_descriptor(mut self, descriptor: ModelDescriptor) -> Self {
        self.descriptors.push(descriptor);
        self
    }

    /// The schema that the models make, or what is wrong with them.
    pub fn check(&self) -> Result<Schema, SchemaError> {
        Schema::new(self.descriptors.iter().cloned())
    }
}
