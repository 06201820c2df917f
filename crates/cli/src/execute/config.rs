//! `config`.

use std::collections::BTreeMap;

use driftless::Setting;

use super::{Context, gone};
use crate::answer::Answer;
use crate::args::ConfigCommand;
use crate::failure::{Exit, Failure};
use crate::output::Output;

pub(super) fn run(
    context: Context<'_>,
    command: ConfigCommand,
    out: &mut dyn Output,
) -> Result<Exit, Failure> {
    let settings = match command {
        ConfigCommand::Get { key: None } => Setting::ALL.to_vec(),
        ConfigCommand::Get { key: Some(key) } => vec![Setting::of_key(&key)?],
        ConfigCommand::Set { key, value } => {
            let setting = Setting::of_key(&key)?;
            context.library.set_setting(setting, &value)?;
            if context.daemon {
                let note = "It takes effect when the daemon is started the next time.";
                out.note(note.to_owned()).map_err(gone)?;
            }
            vec![setting]
        }
    };
    let mut values = BTreeMap::new();
    for setting in settings {
        values.insert(setting.key().to_owned(), context.library.setting(setting)?);
    }
    out.answer(Answer::Settings(values)).map_err(gone)?;
    Ok(Exit::Done)
}
