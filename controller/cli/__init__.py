"""The client verbs: one module each, imported when it is used.

They are clients of the API like any other and see nothing else of a running controller. Exit status: 0 done, 1 an
error with one clear line on standard error, 2 wrong usage, 130 interrupted. What a program may read goes to standard
output, everything else to standard error; nothing is cut or coloured where no person looks.
May import: proto, settings, errors, and what reads the file.
"""

VERBS = {
    "apply": ("controller.cli.apply", "Make services equal to what a file declares."),
    "get": ("controller.cli.get", "List services, containers or events."),
    "describe": ("controller.cli.describe", "Show a service in full, and why it is as it is."),
    "watch": ("controller.cli.watch", "Follow the changes of services, one line each."),
    "delete": ("controller.cli.delete", "Delete services and their containers."),
    "scale": ("controller.cli.scale", "Set how many containers of a service run."),
    "rollout": ("controller.cli.rollout", "Follow, hold, repeat or take back the update of a service."),
    "import": ("controller.cli.compose.verb", "Write the TOML for a compose file to standard output."),
    "backup": ("controller.cli.backup", "Save what is declared, while the server runs."),
    "restore": ("controller.cli.restore", "Declare again what a backup holds."),
    "version": ("controller.cli.version", "Show the versions of client and server."),
}
"""Each verb's module, in which a command has the verb's name, and its line in the help, which is that command's too.

A verb that is a word of Python has an underscore behind it there.
"""
