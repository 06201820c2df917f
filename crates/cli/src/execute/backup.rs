//! `backup`.

use std::path::Path;

use super::{Context, gone};
use crate::answer::{Answer, BackupReport};
use crate::args::FileArg;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) fn run(
    context: Context<'_>,
    file: &FileArg,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let path = Path::new(file.as_os_str());
    let bytes = context.library.backup(path)?;
    let report = BackupReport { file: path.display().to_string(), bytes };
    out.answer(Answer::Backup(report)).map_err(gone)?;
    Ok(Exit::Done)
}
