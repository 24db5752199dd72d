import type { Secret } from "../secret/secret";
import type { Service, ServiceDescription, ServiceFile } from "./service";

export interface SchemaServiceProps {
  /** Where the database's own programs find it: as `schema.json`. */
  readonly directory: string;
  /** Asked at synth. */
  readonly text: () => string;
  /** Of roles, by the file that they are put into. Asked at synth. */
  readonly passwords: () => Readonly<Record<string, Secret>>;
  /** Shell that tells the database what the file says. */
  readonly settle: string;
}

/** What is in a database by the code, names and roles: told to it when its machines are there. */
export class SchemaService implements Service {
  constructor(
    readonly name: string,
    private readonly props: SchemaServiceProps,
  ) {}

  describe(): ServiceDescription {
    const { directory, text, settle } = this.props;
    const passwords = Object.entries(this.props.passwords());
    return {
      files: [
        { path: `${directory}/schema.json`, text: text() },
        ...passwords.map(([path, secret]): ServiceFile => ({ path, text: secret.placeholder, mode: "0600" })),
      ],
      secrets: passwords.map(([, secret]) => secret),
      hooks: { settle },
    };
  }
}
