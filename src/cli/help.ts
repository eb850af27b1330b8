/** How the commands that speak to a running gateway find it. */
const WHERE = `      --json                        print the gateway's answer
      --operator-url <url>          the gateway's operator listener (default: as micro-gw.conf says)
      --operator-token-file <file>  its token (default: as micro-gw.conf says)
      --operator-ca <file>          PEM certificates to trust for that URL (default: Node's and the local authority's)
      --operator-key-store <file>   client certificate and key instead of the token; the password is in
                                    MGW_OPERATOR_KEY_STORE_PASSWORD
      --<section>.<key>=<value>     override a key of micro-gw.conf, as for gateway
  -h, --help                        print this text
`;

/** Texts of `micro-gw help [command]`. */
export const HELP: ReadonlyMap<string, string> = new Map([
  [
    'micro-gw',
    `Usage: micro-gw <command> [options]

Commands:
  init <project>     make a project
  build <project>    build a project into one file that \`gateway\` runs
  token-service      run the embedded token service
  revoke             revoke a token, or all tokens of a subject, session, client or issuer
  revocations        list what is revoked, or lift a rule
  explain <token>    say whether a token would pass, and if not why
  status             say how the gateway and its sources are
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
    'revoke',
    `Usage: micro-gw revoke --token <token|-> [options]
       micro-gw revoke [--subject <sub>] [--session <sid>] [--client <id>] [--claim <name>=<value>]... [--issuer <iss>] [options]

Revokes one token, or all tokens that match everything named and were issued up to a cut-off. Both hold in the gateway at once, are
on its disk, and go to the other gateways through the sources that can publish.

Options:
  -t, --token <token|->             a jti, a signature, a whole JWT or an opaque token; - reads it from standard input, where no other
                                    user of the machine can see it
      --subject <sub>               tokens of this subject
      --session <sid>               tokens of this session
      --client <id>                 tokens of this client (client_id, azp or consumer key)
      --claim <name>=<value>        tokens with this claim; may be repeated
      --issuer <iss>                tokens of this issuer only; alone, with --issued-before: all of them
      --issued-before <time>        the cut-off: now, RFC 3339 or epoch milliseconds (default now)
      --ends-at <time>              when it may be forgotten (default: the longest token life later)
      --reason <text>               why; of a rule kept and shown, of a token in the gateway's log
      --wait                        wait until every data-plane thread has confirmed
      --timeout <time>              for so long, 500ms or 10s for instance (default 5s)
${WHERE}
The exit code is 0 when it holds here and went to every source that publishes, 1 otherwise.
`,
  ],
  [
    'revocations',
    `Usage: micro-gw revocations [options]
       micro-gw revocations show <id> [options]
       micro-gw revocations lift <id> --reason <text> [options]

Lists what is revoked, shows one revocation, or lifts a rule: takes it back here and, through the sources that can publish, everywhere.
Tokens that were revoked one by one stay revoked.

Options:
      --kind <kind>                 token, subject, session, client, issuer, claims or lift
      --source <name>               what this source said; operator for what came in here
      --limit <number>              list so many at most (default 100)
      --reason <text>               why a rule is lifted; kept and shown
${WHERE}`,
  ],
  [
    'explain',
    `Usage: micro-gw explain <token|-> [options]

Says whether a token would pass the gateway now, and if not why: which rule, from which source, since when. With - it is read from
standard input, where no other user of the machine can see it. Of an opaque token the gateway asks the key manager, as for a request.

Options:
${WHERE}
The exit code is 0 when it would pass, 3 when it would be refused, 1 when that could not be found out.
`,
  ],
  [
    'status',
    `Usage: micro-gw status [options]

Says whether the gateway is ready, how old its knowledge of revocations is, and how its sources, threads and journal are.

Options:
${WHERE}`,
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
