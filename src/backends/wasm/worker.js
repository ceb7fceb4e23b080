// One thread of the wasm backend. Runs as a Node worker from source, or as a browser worker from a blob or a URL, so
// it has no imports. First message: {modules, memory, names, firstSlot, thread, threads, control}; then, with shared
// memory, it follows the sequence number in the control block; without, it answers messages one by one.
(() => {
  const node = globalThis.process?.getBuiltinModule?.("node:worker_threads");
  const port = node?.parentPort ?? globalThis;
  const listen = (handler) => {
    if (node?.parentPort) port.on("message", handler);
    else port.addEventListener("message", (event) => handler(event.data));
  };

  function instantiate({ modules, memory, names, firstSlot }) {
    const table = new WebAssembly.Table({ initial: firstSlot + names.length, element: "anyfunc" });
    const exports = {};
    for (const module of modules) Object.assign(exports, new WebAssembly.Instance(module, { env: { memory, table } }).exports);
    names.forEach((name, i) => table.set(firstSlot + i, exports[name]));
    return exports;
  }

  const describe = (error) => String(error?.message ?? error);

  function serve({ memory, thread, threads, control }, run) {
    // a grown shared memory has a longer buffer, but the control block lies in the first page of every one
    const words = new Int32Array(memory.buffer);
    const at = (address) => address / 4;
    const [sequence, list, done, spin, abort] = [
      at(control.sequence),
      at(control.list),
      at(control.done),
      at(control.idleSpin),
      at(control.abort),
    ];
    let seen = 0;
    for (;;) {
      let next = Atomics.load(words, sequence);
      for (let i = Atomics.load(words, spin); next === seen && i > 0; i--) next = Atomics.load(words, sequence);
      while (next === seen) {
        Atomics.wait(words, sequence, seen);
        next = Atomics.load(words, sequence);
      }
      seen = next;
      const address = Atomics.load(words, list);
      if (address === 0) return;
      try {
        run(address, thread, threads);
      } catch (error) {
        Atomics.store(words, abort, 1);
        port.postMessage({ failed: describe(error) });
        return;
      }
      if (thread === 0) {
        Atomics.store(words, done, seen);
        Atomics.notify(words, done);
        port.postMessage({ done: seen });
      }
    }
  }

  function answer(run, memory) {
    return (message) => {
      try {
        if (message.grow) memory.grow(message.grow);
        if (message.write) new Uint8Array(memory.buffer).set(message.write, message.address);
        if (message.run) run(message.run, 0, 1);
        if (message.read !== undefined) {
          const bytes = new Uint8Array(memory.buffer).slice(message.address, message.address + message.read);
          port.postMessage({ bytes, id: message.id }, [bytes.buffer]);
        }
      } catch (error) {
        port.postMessage({ failed: describe(error) });
      }
    };
  }

  let handler = (first) => {
    try {
      const memory = first.memory ?? new WebAssembly.Memory(first.memoryLimits);
      const { run } = instantiate({ ...first, memory });
      port.postMessage({ ready: true });
      if (first.memory) serve(first, run);
      else handler = answer(run, memory);
    } catch (error) {
      port.postMessage({ failed: describe(error) });
    }
  };
  listen((message) => handler(message));
})();
