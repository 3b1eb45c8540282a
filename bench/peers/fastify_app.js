// SPDX-License-Identifier: Apache-2.0
// The Node peer: fastify in front of onnxruntime-node, the same trees as an ONNX model.
"use strict";
const fastify = require("fastify")({ logger: false });
const ort = require("onnxruntime-node");

async function main() {
  const session = await ort.InferenceSession.create(process.env.MODEL, { intraOpNumThreads: 1, interOpNumThreads: 1 });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  fastify.post("/v1/models/:name", async (request) => {
    const rows = request.body.instances;
    const width = rows[0].length;
    const data = new Float32Array(rows.length * width);
    rows.forEach((row, r) => row.forEach((v, k) => (data[r * width + k] = v === null ? NaN : v)));
    const result = await session.run({ [input]: new ort.Tensor("float32", data, [rows.length, width]) });
    return { predictions: Array.from(result[output].data) };
  });
  await fastify.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}
main();
