// The peer's side of `cargo xtask bench runs --restate FOLDER`: a chain of three service calls.
// Started in the folder into which npm has installed the peer, which resolves the import.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The SDK needs it, and Node has it since version 22.
Promise.withResolvers ??= () => {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

const require = createRequire(process.cwd() + "/");
const restate = await import(pathToFileURL(require.resolve("@restatedev/restate-sdk")).href);

const total = restate.service({
  name: "invoice",
  handlers: { total: async (_, { name }) => ({ invoice: name, total: "7" }) },
});
const chain = restate.service({
  name: "chain",
  handlers: {
    run: async (context, { order }) => {
      const first = await context.serviceClient(total).total({ name: order });
      const second = await context.serviceClient(total).total({ name: first.invoice });
      return await context.serviceClient(total).total({ name: second.invoice });
    },
  },
});
await restate.endpoint().bind(total).bind(chain).listen(Number(process.argv[2]));
