import js from "@eslint/js";
import prettier from "eslint-config-prettier";
import tseslint from "typescript-eslint";

const barrels = ["@cdktf/provider-aws", "@cdktf/provider-null"].map((name) => ({
  name,
  message:
    "import the one resource (@cdktf/provider-aws/lib/instance): the barrel takes seconds and gigabytes",
}));
const internals = {
  regex: "^cdktf/lib/(?!testing/adapters/jest$)",
  message: "the framework's insides move; its successor keeps only what cdktf itself exports",
};
const framework = {
  name: "cdktf",
  message: "the framework is known in few files, so that its successor can take its place",
};
const providers = {
  regex: "^@cdktf/provider-",
  message:
    "only lib/platform/aws, lib/firewall/security-groups.ts, lib/virtual-ip, lib/geo-dns/route53.ts and lib/push/carrier.ts make resources",
};

export default tseslint.config(
  { ignores: ["dist/", "coverage/", "**/cdktf.out/", "node_modules/"] },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/explicit-module-boundary-types": "error",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/no-extraneous-class": "off", // constructs are made for what they add to the tree
      "@typescript-eslint/no-non-null-assertion": "off", // noUncheckedIndexedAccess is on: `!` says that the code knows
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-restricted-imports": ["error", { paths: barrels, patterns: [internals] }],
    },
  },
  {
    // Clusters and their parts: they know constructs, and nothing of Terraform.
    files: ["lib/**/*.ts"],
    ignores: [
      "lib/problem.ts",
      "lib/secret/**",
      "lib/firewall/security-groups.ts",
      "lib/platform/**",
      "lib/push/**",
      "lib/virtual-ip/aws-addresses.ts",
      "lib/geo-dns/route53.ts",
      "lib/testing/**",
    ],
    rules: {
      "no-restricted-imports": [
        "error",
        { paths: [...barrels, framework], patterns: [internals, providers] },
      ],
    },
  },
  {
    files: ["**/*.js", "**/*.mjs"],
    languageOptions: {
      globals: {
        require: "readonly",
        module: "readonly",
        __dirname: "readonly",
        process: "readonly",
        console: "readonly",
      },
    },
  },
  {
    files: ["test/**/*.ts", "bench/**/*.ts", "machines/**/*.ts", "demo/**/*.ts", "build/**/*.ts"],
    rules: {
      "@typescript-eslint/no-unsafe-assignment": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
    },
  },
  prettier,
);
