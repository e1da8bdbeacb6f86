use clap::CommandFactory;

use super::*;

/// The command with all its subcommands, `path` being the words that lead to each.
fn walk(command: &clap::Command, path: &str, visit: &mut impl FnMut(&str, &clap::Command)) {
    visit(path, command);
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        walk(inner, &format!("{path} {}", inner.get_name()), visit);
    }
}

fn built() -> clap::Command {
    let mut command = Cli::command().term_width(100);
    command.build();
    command
}

#[test]
fn arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn short_helps_are_one_line_of_79_columns() {
    walk(&built(), "stepcell", &mut |path, command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        check_line(path, &about);
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            check_line(&format!("{path}: {}", argument.get_id()), &help);
        }
    });
}

#[track_caller]
fn check_line(what: &str, help: &str) {
    assert!(!help.is_empty(), "{what} has no help");
    assert!(help.lines().count() == 1 && help.chars().count() <= 79, "{what}: {help}");
}

#[test]
fn help_texts_are_as_reviewed() {
    let mut texts = String::new();
    walk(&built(), "stepcell", &mut |path, command| {
        if !command.is_hide_set() {
            texts.push_str(&format!("$ {path} -h\n{}\n", command.clone().render_help()));
        }
    });
    insta::assert_snapshot!(texts);
}

#[test]
fn long_help_texts_are_as_reviewed() {
    // The others share their arguments with these.
    for name in ["run", "serve", "submit"] {
        let text = built().find_subcommand_mut(name).unwrap().render_long_help();
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn an_input_is_given_once() {
    let given = ["stepcell", "run", "f.yaml", "--input", "{}", "--input-file", "-"];
    assert!(Cli::try_parse_from(given).is_err());
}

#[test]
fn global_flags_stand_anywhere() {
    let before = Cli::try_parse_from(["stepcell", "--output", "json", "validate", "f.yaml"]).unwrap();
    let after = Cli::try_parse_from(["stepcell", "validate", "f.yaml", "--output", "json"]).unwrap();
    assert_eq!(before.global.output, OutputFormat::Json);
    assert_eq!(after.global.output, OutputFormat::Json);
}
