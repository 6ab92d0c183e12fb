//! Sections `[database]` and `[models]`: what lies on disk.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the database lies when the user has no home.
const SYSTEM_FOLDER: &str = "/var/lib";

/// Where numbers are remembered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:///PATH`; without it `callward/callward.db` in the user's data folder.
    pub url: Option<String>,
}

impl Database {
    /// The URL, or that of the default file.
    pub fn url(&self) -> String {
        self.url.clone().unwrap_or_else(|| {
            let folder = etcetera::choose_base_strategy().map(|places| places.data_dir());
            let folder = folder.unwrap_or_else(|_| Path::new(SYSTEM_FOLDER).to_path_buf());
            format!("sqlite://{}", folder.join("callward").join("callward.db").display())
        })
    }
}

/// Model weights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Models {
    /// Folder of the cache; without it `callward/models` in the user's cache folder.
    pub cache: Option<PathBuf>,
    /// A manifest in place of the built-in one.
    pub manifest: Option<PathBuf>,
}
