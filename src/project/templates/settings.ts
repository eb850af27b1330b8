/** Texts of the settings files that a new project begins with. */

/** WSO2's default policies. Throttling is not built yet: `micro-gw build` accepts these and refuses others. */
export const POLICIES = `# Throttling policies: <Name>: { count, unitTime, timeUnit: min | hour | day | week | month | year, stopOnQuota }
# Throttling is not built yet: \`micro-gw build\` refuses a project whose policies differ from these.
resourcePolicies:
- 50kPerMin:
    count: 50000
    unitTime: 1
    timeUnit: min
- 20kPerMin:
    count: 20000
    unitTime: 1
    timeUnit: min
- 10kPerMin:
    count: 10000
    unitTime: 1
    timeUnit: min
applicationPolicies:
- 50PerMin:
    count: 50
    unitTime: 1
    timeUnit: min
- 20PerMin:
    count: 20
    unitTime: 1
    timeUnit: min
- 10PerMin:
    count: 10
    unitTime: 1
    timeUnit: min
subscriptionPolicies:
- Gold:
    count: 5000
    unitTime: 1
    timeUnit: min
- Silver:
    count: 2000
    unitTime: 1
    timeUnit: min
- Bronze:
    count: 10
    unitTime: 1
    timeUnit: min
- Unauthenticated:
    count: 500
    unitTime: 1
    timeUnit: min
- Default:
    count: 500
    unitTime: 1
    timeUnit: min
`;

export const DEPLOYMENT_CONFIG = `# How the built project is deployed. Docker and Kubernetes are not built yet: \`micro-gw build\` refuses a section with enable = true.
[docker]
  [docker.dockerConfig]
    enable = false
  [docker.dockerCopyFiles]
    enable = false

[kubernetes]
  [kubernetes.kubernetesDeployment]
    enable = false
  [kubernetes.kubernetesService]
    enable = false
  [kubernetes.kubernetesServiceHttps]
    enable = false
  [kubernetes.kubernetesServiceHttp]
    enable = false
  [kubernetes.kubernetesServiceToken]
    enable = false
  [kubernetes.kubernetesIngress]
    enable = false
  [kubernetes.secureKubernetesIngress]
    enable = false
  [kubernetes.kubernetesHpa]
    enable = false
  [kubernetes.kubernetesSecret]
    enable = false
  [kubernetes.kubernetesConfigMap]
    enable = false
  [kubernetes.kubernetesPersistentVolumeClaim]
    enable = false
  [kubernetes.kubernetesJob]
    enable = false
`;

/**
 * For editors only. They find the types where this installation has them; on a machine where it lies elsewhere, in the project's
 * node_modules or above it.
 */
export function tsconfig(types: {
  readonly portcullis: string;
  readonly typeRoot: string;
}): string {
  return `{
  // For your editor, and for \`tsc -p .\`. \`micro-gw build\` does not read it: it checks the extensions with the same settings and the
  // types of the Portcullis that runs it.
  "compilerOptions": {
    "target": "es2023",
    "lib": ["es2024", "esnext.disposable"],
    "module": "preserve",
    "moduleResolution": "bundler",
    "types": ["node"],
    // Types of the Portcullis that made this project. Where it lies elsewhere, change both paths, or install portcullis and @types/node.
    "paths": { "portcullis": [${JSON.stringify(types.portcullis)}] },
    "typeRoots": ["./node_modules/@types", ${JSON.stringify(types.typeRoot)}],
    "strict": true,
    "isolatedModules": true,
    "allowImportingTsExtensions": true,
    "resolveJsonModule": true,
    "skipLibCheck": true,
    "noEmit": true
  },
  "include": ["extensions"]
}
`;
}
