using System.CommandLine;

namespace ModelPack.Cli;

/// <summary>Command lines that work as they stand, shown at the end of a command's help.</summary>
internal static class Examples
{
    private static readonly Dictionary<string, string[]> ByCommand = new(StringComparer.Ordinal)
    {
        ["modelpack"] =
        [
            "modelpack compile model.onnx -o model.mpack --recipe int4",
            "modelpack inspect model.mpack",
            "modelpack run model.mpack --input input_ids=ids.npy --output results",
        ],
        ["modelpack compile"] =
        [
            "modelpack compile model.onnx -o model.mpack",
            "modelpack compile model.onnx -o model.mpack --recipe int4 --eval-tokens dev.tokens.bin",
            "modelpack compile model.onnx -o model.mpack --recipe int4-calibrated --calibration calib.tokens.bin",
            "modelpack compile model.onnx -o model.mpack --recipe auto --target-bits 3.5 --calibration calib.tokens.bin",
            "modelpack compile llama/ -o llama.mpack --recipe int8 --max-memory 4GB",
            "modelpack compile llama/ -o llama.mpack --recipe int4 --kv-cache",
            "modelpack compile model.onnx --recipe mine.json --set quantize.block=64 --dry-run",
        ],
        ["modelpack report"] =
        [
            "modelpack report model.mpack -o report.html --against model.onnx",
            "modelpack report model.mpack -o report.html --profile host.json --tune front.json",
            "modelpack report --bench history.csv -o bench.html",
        ],
        ["modelpack calibrate"] =
        [
            "modelpack calibrate model.onnx --data calib.tokens.bin -o model.calibration.safetensors",
            "modelpack calibrate vision.onnx --data images/ -o vision.calibration.safetensors --samples 64",
        ],
        ["modelpack tune"] =
        [
            "modelpack tune model.onnx -o small.json --target-bits 4.25 --data calib.tokens.bin",
            "modelpack tune vision.onnx -o vision.json --max-loss 1% --data images/",
            "modelpack compile model.onnx -o model.mpack --recipe small.json --calibration calib.tokens.bin",
        ],
        ["modelpack pack"] =
        [
            "modelpack pack model.safetensors -o model.mpack",
            "modelpack pack model.safetensors -o smallest.mpack --level max",
            "modelpack pack step2.safetensors --base step1.safetensors -o step2.mpack",
            "cat model.onnx | modelpack pack - -o - > model.mpack",
        ],
        ["modelpack unpack"] =
        [
            "modelpack unpack model.mpack -o model.safetensors",
            "modelpack unpack step2.mpack --base step1.safetensors -o step2.safetensors",
            "modelpack unpack int4.mpack -o dense.safetensors --dtype bf16",
            "modelpack unpack model.mpack --tensor lm_head.weight --rows 0:128 --dtype f32 -o head.npy",
        ],
        ["modelpack inspect"] =
        [
            "modelpack inspect model.onnx",
            "modelpack inspect model.mpack --tensors",
            "modelpack inspect model.mpack --tensor lm_head.weight --json",
        ],
        ["modelpack explain"] = ["modelpack explain model.mpack --profile host.json --rows 128", "modelpack explain model.mpack"],
        ["modelpack verify"] =
        [
            "modelpack verify model.mpack",
            "modelpack verify model.mpack --stored",
            "modelpack verify model.mpack --against model.onnx",
            "modelpack verify model.mpack --rederive model.onnx",
        ],
        ["modelpack run"] =
        [
            "modelpack run model.mpack --input input_ids=ids.npy --output results",
            "modelpack run model.onnx --input x=random --seed 7",
            "modelpack run llama.mpack --prompt \"Once upon a time\"",
            "modelpack run llama.mpack --chat --prompt \"What is a tensor?\"",
            "modelpack run llama.mpack --prompt \"Once upon a time\" --max-tokens 200 --temperature 0.8 --top-k 40 --top-p 0.95 --seed 1",
        ],
        ["modelpack eval"] =
        [
            "modelpack eval model.mpack --tokens dev.tokens.bin --window 256",
            "modelpack eval model.mpack --tokens dev.tokens.bin --reference model.onnx",
            "modelpack eval model.onnx --tokens dev.tokens.bin --save-logits dev.logits.safetensors",
            "modelpack eval model.mpack --tokens dev.tokens.bin --reference dev.logits.safetensors",
            "modelpack eval model.mpack --reference model.onnx --data samples",
        ],
        ["modelpack compare"] = ["modelpack compare model.safetensors model.mpack"],
        ["modelpack export"] =
        [
            "modelpack export model.mpack --to onnx -o model.int4.onnx",
            "modelpack export llama.mpack --to gguf -o llama.gguf --others f16",
            "modelpack export llama.mpack --to compressed-tensors -o llama-w4a16 --others bf16",
        ],
        ["modelpack check"] = ["modelpack check llama-w4a16 --target vllm", "modelpack check llama.gguf --target llamacpp --json"],
        ["modelpack formats"] = ["modelpack formats", "modelpack formats int4 \"palette(bits=3)\" --sparsity 2:4,50%", "modelpack formats --recipe int4 --json", "modelpack formats --recipe-schema > recipe.schema.json"],
        ["modelpack bench"] = ["modelpack bench model model.mpack --against model.onnx --history history.csv"],
        ["modelpack bench model"] =
        [
            "modelpack bench model model.mpack",
            "modelpack bench model model.mpack --against model.onnx --threads 4",
            "modelpack bench model model.mpack --nodes --profile host.json --size seq=128",
        ],
        ["modelpack bench codec"] = ["modelpack bench codec model.safetensors", "modelpack bench codec model.mpack --threads 2 --json"],
        ["modelpack bench kernels"] =
        [
            "modelpack bench kernels int4 mxfp4",
            "modelpack bench kernels \"int8(block=128)\" --batch 128 --rows 4096 --threads 2",
            "modelpack bench kernels f32 mxfp4 --sparsity 90 --sparsity 95 --rows 11008",
        ],
        ["modelpack bench numbers"] = ["modelpack bench numbers", "modelpack bench numbers int4 \"nf4(block=128)\" --json"],
        ["modelpack profile"] = ["modelpack profile -o host.json", "modelpack profile --list"],
        ["modelpack completion"] =
        [
            "source <(modelpack completion bash)",
            "modelpack completion zsh > \"${fpath[1]}/_modelpack\"",
            "modelpack completion fish > ~/.config/fish/completions/modelpack.fish",
            "modelpack completion pwsh | Out-String | Invoke-Expression",
        ],
    };

    public static IReadOnlyList<string> Of(Command command) =>
        ByCommand.TryGetValue(UsageErrors.Path(command), out string[]? examples) ? examples : [];
}
