// Waits of Node.js: makes each, all at once where it does not hold up the event loop, for as many
// milliseconds as the argument says, and prints a line for each that ends: its name, what came of
// it, and how many milliseconds it took; then all that once more.
'use strict';
const { spawnSync } = require('child_process');
const { once } = require('events');
const timers = require('timers/promises');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const cell = () => new Int32Array(new SharedArrayBuffer(4));
const now = () => Number(process.hrtime.bigint() / 1000000n);

if (!isMainThread) {
    parentPort.postMessage(Atomics.wait(workerData.cell, 0, 0, workerData.wait));
} else {
    const wait = Number(process.argv[2]);
    waits(wait).then(() => waits(wait));
}

async function measure(name, make) {
    const start = now();
    let result;
    try {
        result = await make();
    } catch (e) {
        result = e.name;
    }
    console.log(`${name} ${result} ${now() - start}`);
}

// A worker's wait, which `wake` may end before its own deadline does.
async function waitInWorker(wait, wake) {
    const shared = cell();
    const worker = new Worker(__filename, { workerData: { cell: shared, wait } });
    if (wake) {
        const notify = () => Atomics.notify(shared, 0) || setTimeout(notify, wake);
        setTimeout(notify, wake);
    }
    const [result] = await once(worker, 'message');
    return result;
}

function interval(wait) {
    return new Promise((resolve) => {
        let left = 3;
        const timer = setInterval(() => {
            if (--left === 0) {
                clearInterval(timer);
                resolve('thrice');
            }
        }, wait / 2);
    });
}

async function abort(wait) {
    const signal = AbortSignal.timeout(wait);
    await timers.setTimeout(60000, null, { signal });
}

async function waits(wait) {
    // These two hold up the thread.
    await measure('Atomics.wait', () => Atomics.wait(cell(), 0, 0, wait));
    await measure('spawnSync', () => spawnSync('sleep', ['60'], { timeout: wait }).error.code);
    await Promise.all([
        measure('setTimeout', () => new Promise((r) => setTimeout(r, wait, 'called'))),
        measure('setInterval', () => interval(wait)),
        measure('timers/promises', () => timers.setTimeout(wait, 'called')),
        measure('AbortSignal.timeout', () => abort(wait)),
        measure('Atomics.wait_in_worker', () => waitInWorker(wait)),
        measure('Atomics.notify', () => waitInWorker(wait + 60000, wait)),
    ]);
}
