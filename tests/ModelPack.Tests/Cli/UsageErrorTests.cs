using System.Text.Json;
using Xunit;

namespace ModelPack.Tests.Cli;

public sealed class UsageErrorTests
{
    [Theory]
    [InlineData("complie", "modelpack: unknown command 'complie'; did you mean 'compile'?")]
    [InlineData("frobnicate", "modelpack: unknown command 'frobnicate'; commands: compile, calibrate, tune, pack,")]
    [InlineData("bench modle x", "modelpack bench: unknown command 'modle'; did you mean 'model'?")]
    [InlineData("compile a.onnx -o b --recpie int4", "modelpack compile: unknown option '--recpie'; did you mean '--recipe'?")]
    [InlineData("compile --recpie int4 a.onnx -o b", "modelpack compile: unknown option '--recpie'; did you mean '--recipe'?")]
    [InlineData("inspect a.onnx --josn", "modelpack inspect: unknown option '--josn'; did you mean '--json'?")]
    [InlineData("bench model a.onnx --thread 2", "modelpack bench model: unknown option '--thread'; did you mean '--threads'?")]
    [InlineData("bench model a.mpack --profile host.json", "modelpack bench model: --profile is what --nodes predicts by: give both")]
    [InlineData("bench model a.mpack --size seq", "modelpack bench model: --size 'seq' is not of the form name=number")]
    [InlineData("bench model a.mpack --size seq=8 --history h.csv", "modelpack bench model: --history keeps no sizes, so that times of other sizes than 1 would be taken for those: leave --size or --history out")]
    [InlineData("compile", "modelpack compile: required argument 'input' missing")]
    [InlineData("compile a.onnx", "modelpack compile: say where to write the artifact: -o <out.mpack>")]
    [InlineData("pack a.onnx", "modelpack pack: option '--output' is required")]
    [InlineData("compile a.onnx -o b --max-memory 2XB", "modelpack compile: --max-memory: '2XB' is not a size such as 2GB or 512MiB")]
    [InlineData("compile a.onnx -o b --seed x", "modelpack compile: cannot parse argument 'x' for option '--seed' as a whole number")]
    [InlineData("compile a.onnx -o b --threads 9999", "modelpack compile: --threads: '9999' is not a whole number from 0 to 1024")]
    [InlineData("eval a.onnx", "modelpack eval: say what to measure: --tokens <file> for perplexity or --reference <model> for agreement")]
    [InlineData("eval a.onnx --tokens t --reference r --data d", "modelpack eval: --data holds inputs for --reference")]
    [InlineData("eval a.onnx --tokens t --window 1", "modelpack eval: --window: '1' is not a whole number from 2 to 1048576")]
    [InlineData("export a.mpack --to onx -o b", "modelpack export: --to 'onx' is not one of onnx, safetensors, gguf, compressed-tensors, fp8, gptq, awq, genai; did you mean 'onnx'?")]
    [InlineData("run a.onnx --input x", "modelpack run: --input 'x' is not of the form name=file.npy")]
    [InlineData("unpack a.mpack -o b --dtype i8", "modelpack unpack: --dtype 'i8' is not one of f32, bf16, f16")]
    [InlineData("verify a.mpack --stored --against a.onnx", "modelpack verify: --stored decodes nothing, so it does not go with --against, --rederive, --calibration or --base")]
    [InlineData("verify a.mpack --stored --base a.onnx", "modelpack verify: --stored decodes nothing")]
    [InlineData("completion bsh", "modelpack completion: unknown shell 'bsh'; did you mean 'bash'?")]
    public void Wrong_command_lines_exit_with_2_and_one_line(string commandLine, string expected)
    {
        (int code, string output, string error) = CliHarness.Run(commandLine.Split(' '));

        Assert.Equal(2, code);
        Assert.Equal("", output);
        Assert.StartsWith(expected, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
        Assert.Contains("--help')", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Wrong_command_line_with_json_is_also_an_error_document()
    {
        (int code, string output, string error) = CliHarness.Run("inspect", "--json");

        Assert.Equal(2, code);
        Assert.StartsWith("modelpack inspect: required argument 'file' missing", error, StringComparison.Ordinal);
        JsonElement document = JsonDocument.Parse(output).RootElement.GetProperty("error");
        Assert.Equal("usage", document.GetProperty("code").GetString());
        Assert.Equal(error.TrimEnd(), document.GetProperty("message").GetString());
    }

    [Fact]
    public void No_arguments_at_all_show_help_on_stderr_and_exit_with_2()
    {
        (int code, string output, string error) = CliHarness.Run();

        Assert.Equal(2, code);
        Assert.Equal("", output);
        Assert.Contains("Commands:", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Version_is_one_line_without_a_revision()
    {
        (int code, string output, _) = CliHarness.Run("--version");

        Assert.Equal(0, code);
        Assert.Matches(@"^modelpack \d+\.\d+\.\d+\n$", output);
    }

    [Fact]
    public void Missing_input_is_one_MSBuild_line_and_exit_code_1()
    {
        (int code, string output, string error) = CliHarness.Run("inspect", "no-such-model.onnx");

        Assert.Equal(1, code);
        Assert.Equal("", output);
        Assert.Matches(@"^no-such-model\.onnx: error MP1001: .+\n$", error);
    }

    [Theory]
    [InlineData("bash", "complete -o default -F _modelpack_complete modelpack")]
    [InlineData("zsh", "compdef _modelpack modelpack")]
    [InlineData("fish", "complete -c modelpack")]
    [InlineData("pwsh", "Register-ArgumentCompleter -Native -CommandName modelpack")]
    public void Completion_prints_the_script_of_the_shell(string shell, string expected)
    {
        (int code, string output, _) = CliHarness.Run("completion", shell);

        Assert.Equal(0, code);
        Assert.Contains(expected, output, StringComparison.Ordinal);
        Assert.Contains("[suggest:", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("modelpack comp", "compile", "compare")]
    [InlineData("modelpack compile --rec", "--recipe")]
    [InlineData("modelpack completion b", "bash")]
    [InlineData("modelpack bench m", "model")]
    public void Suggest_directive_completes_the_line(string line, params string[] expected)
    {
        (int code, string output, _) = CliHarness.Run($"[suggest:{line.Length}]", line);

        Assert.Equal(0, code);
        string[] offered = output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.All(expected, word => Assert.Contains(word, offered));
    }
}
