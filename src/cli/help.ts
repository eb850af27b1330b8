/** Texts of `micro-gw help [command]`. */
export const HELP: ReadonlyMap<string, string> = new Map([
  [
    'micro-gw',
    `Usage: micro-gw <command> [options]

Commands:
  init <project>     make a project
  build <project>    build a project into one file that \`gateway\` runs
  token-service      run the embedded token service
  version            print the version
  help <command>     say more about a command

Options:
  --verbose          say more about what is done, and about faults

Run 'micro-gw help <command>' for the options of a command.
`,
  ],
  [
    'init',
    `Usage: micro-gw init <project> [options]

Makes the folder <project> in the current folder.

Options:
  -a, --api-definition <file|url>   OpenAPI definition to begin with
      --headers <name,...>          header fields to send when it is downloaded
      --values <value,...>          their values, in the same order
  -k, --insecure                    accept any certificate for that download
  -d, --deployment-config <file>    file to take as conf/deployment-config.toml
  -f, --force                       delete a project of that name first
  -h, --help                        print this text
`,
  ],
  [
    'build',
    `Usage: micro-gw build <project> [options]

Checks <project>, a folder in the current folder, and builds it into <project>/target/<project>.mjs.

Options:
      --allow-remote-refs           fetch what a $ref to an http or https address names
  -h, --help                        print this text
`,
  ],
  [
    'token-service',
    `Usage: micro-gw token-service [options]

Runs the embedded token service. 'micro-gw token-service --help' lists its options.
`,
  ],
  [
    'version',
    `Usage: micro-gw version

Prints the version of Portcullis.
`,
  ],
  [
    'help',
    `Usage: micro-gw help <command>

Says more about a command.
`,
  ],
]);
