using ModelPack.Numbers;
using ModelPack.Testing;
using ModelPack.Tests.Cli;
using ModelPack.Toolchain;
using Xunit;

namespace ModelPack.Tests.Toolchain;

/// <summary>Errors and capacities that <c>modelpack formats</c> prints, against values computed independently.</summary>
public sealed class FormatsTests
{
    /// <summary>The rows without a request, measured once for all tests.</summary>
    private static readonly Lazy<IReadOnlyList<FormatRow>> Everything = new(() => Catalogue.Formats().Formats);

    /// <summary>
    /// Bits per weight, mean squared error on N(0,1), effective bits and capacity. Formats of the published comparison that this build has; a row is one line, so a format that comes later adds one.
    /// The plain 8-bit float has no scale, which does not matter for N(0,1); <c>gguf-mxfp4</c> and <c>gguf-nvfp4</c> round ties differently, which does not matter for random values.
    /// </summary>
    public static TheoryData<string, double, double, double, double> Published => new()
    {
        { "int8(scale=f16)", 8.5, 2.8e-5, 7.56, 0.994 },
        { "f8e4m3fn", 8, 6.9e-4, 5.25, 0.963 },

        // Published: 9.1e-3, 1.12e-2, 1.32e-2 from 32,768 values, whose deviation is 1.2 to 1.6 %. These are from 2^20 values, drawn and rounded by another program.
        { "int4(scale=f16)", 4.5, 9.41e-3, 3.39, 0.841 },
        { "int4(scale=f16,block=64)", 4.25, 1.158e-2, 3.24, 0.823 },
        { "int4(scale=f16,block=128)", 4.125, 1.375e-2, 3.12, 0.806 },
        { "mxint8", 8.25, 6.7e-5, 6.93, 0.991 },
        { "fp8(scope=tensor)", 8, 6.9e-4, 5.25, 0.963 },
        { "mxfp8(element=e4m3)", 8.25, 8.4e-4, 5.11, 0.959 },
        { "mxfp8(element=e5m2)", 8.25, 2.9e-3, 4.23, 0.917 },
        { "mxfp6(element=e2m3)", 6.25, 8.0e-4, 5.15, 0.960 },
        { "mxfp6(element=e3m2)", 6.25, 2.9e-3, 4.23, 0.917 },
        { "mxfp4", 4.25, 1.31e-2, 3.13, 0.807 },
        { "nvfp4", 4.5, 9.0e-3, 3.40, 0.842 },
        { "gguf-mxfp4", 4.25, 1.31e-2, 3.13, 0.807 },
        { "gguf-nvfp4", 4.5, 9.0e-3, 3.40, 0.842 },
        { "ternary", 2, 0.260, 0.97, 0.259 },
        { "palette(bits=1)", 1, 0.360, 0.74, 0.182 },
        { "palette(bits=2)", 2, 0.117, 1.55, 0.449 },
    };

    [Theory]
    [MemberData(nameof(Published))]
    public void Errors_are_within_2_percent_of_the_published_comparison(string spec, double bits, double mse, double effectiveBits, double capacity)
    {
        FormatRow row = Assert.Single(Catalogue.Formats(new FormatsRequest { Specs = [spec] }).Formats);

        Assert.Equal(("number", spec), (row.Kind, row.Name));
        Assert.Equal(bits, row.BitsPerWeight!.Value, 3);

        // Two digits of the table are another half percent to a few.
        Assert.InRange(row.GaussianMse!.Value / mse, 0.98 - Half(mse), 1.02 + Half(mse));
        Assert.Equal(effectiveBits, row.EffectiveBits!.Value, 0.04);
        Assert.Equal(capacity, row.Capacity!.Value, 0.005);
        Assert.Equal(row.Capacity.Value * 8 / bits, row.CapacityPerByte!.Value, 6);
    }

    [Theory]
    [InlineData("50%", 0.070, 1.91, 0.556, 1)]
    [InlineData("75%", 0.274, 0.93, 0.246, 1)]
    [InlineData("90%", 0.558, 0.42, 0.086, 1)]
    [InlineData("95%", 0.717, 0.24, 0.040, 0.6078125)]
    [InlineData("4:8", 0.101, 1.65, 0.480, 1)]
    [InlineData("2:4", 0.131, 1.46, 0.422, 1)]
    [InlineData("1:4", 0.381, 0.70, 0.169, 0.5)]
    [InlineData("blocks:50%", 0.503, 0.50, 0.107, 0.0009765625)]
    public void Sparsity_is_within_2_percent_of_the_published_comparison(string pattern, double mse, double effectiveBits, double capacity, double indexBits)
    {
        FormatRow row = Assert.Single(Everything.Value, r => r.Name == pattern);
        double density = SparsityPattern.TryParse(pattern)!.Density;

        Assert.Equal("sparsity", row.Kind);
        Assert.InRange(row.GaussianMse!.Value / mse, 0.98, 1.02);
        Assert.Equal(effectiveBits, row.EffectiveBits!.Value, 0.03);
        Assert.Equal(capacity, row.Capacity!.Value, 0.006);
        Assert.Equal((16 * density) + indexBits, row.BitsPerWeight!.Value, 9);
    }

    [Fact]
    public void Compositions_multiply_capacities_and_add_the_index()
    {
        IReadOnlyList<FormatRow> rows = Catalogue.Formats(new FormatsRequest { Specs = ["int4(block=32,scale=f16)", "f32"], Sparsity = ["2:4", "95%"] }).Formats;

        Assert.Equal(["int4(block=32,scale=f16)", "int4(block=32,scale=f16) x 2:4", "int4(block=32,scale=f16) x 95%", "f32", "f32 x 2:4", "f32 x 95%"], rows.Select(r => r.Name));
        Assert.Equal(["number", "composition", "composition", "number", "composition", "composition"], rows.Select(r => r.Kind));
        Assert.Equal(1, rows[3].Capacity);
        Assert.Null(rows[3].EffectiveBits);
        Assert.Equal((4.5 * 0.5) + 1, rows[1].BitsPerWeight!.Value, 9);
        Assert.Equal((4.5 * 0.05) + 0.6078125, rows[2].BitsPerWeight!.Value, 9);
        Assert.Equal(rows[0].Capacity!.Value * rows[4].Capacity!.Value, rows[1].Capacity!.Value, 9);
        Assert.Equal(rows[0].Capacity!.Value * rows[5].Capacity!.Value, rows[2].Capacity!.Value, 9);
    }

    [Theory]
    [InlineData("int4(block=32)", "2:4")]
    [InlineData("int4(block=128)", "50%")]
    [InlineData("int8", "2:4")]
    [InlineData("nf4", "1:4")]
    [InlineData("int6", "4:8")]
    public void Product_rule_is_near_the_capacity_of_the_measured_error_and_never_above_it(string spec, string pattern)
    {
        IReadOnlyList<FormatRow> rows = Catalogue.Formats(new FormatsRequest { Specs = [spec, "f32"], Sparsity = [pattern] }).Formats;
        double direct = GaussianError.Capacity(rows[1].GaussianMse!.Value);

        // What is dropped and what is rounded are different weights, so errors add; the product is the more careful estimate.
        Assert.InRange(rows[1].GaussianMse!.Value, rows[3].GaussianMse!.Value, rows[3].GaussianMse!.Value + (2.5 * rows[0].GaussianMse!.Value));
        Assert.InRange(rows[1].Capacity!.Value, direct - 0.1, direct + 0.001);
    }

    [Fact]
    public void More_bits_have_less_error_and_more_capacity()
    {
        foreach (Func<int, string> family in new Func<int, string>[] { b => $"int{b}", b => $"int{b}(block=128,search=mse)", b => $"palette(bits={b})" })
        {
            FormatRow[] rows = [.. Catalogue.Formats(new FormatsRequest { Specs = [.. Enumerable.Range(2, 7).Select(family)] }).Formats];
            Assert.Equal(rows.OrderBy(r => r.BitsPerWeight).Select(r => r.Name), rows.OrderByDescending(r => r.GaussianMse).Select(r => r.Name));
            Assert.Equal(rows.OrderBy(r => r.BitsPerWeight).Select(r => r.Name), rows.OrderBy(r => r.Capacity).Select(r => r.Name));
        }
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    [InlineData(2, 0)]
    [InlineData(0.25, 0.26866)] // tanh(0.41)^1.39
    [InlineData(1e-30, 1)]
    public void Capacity_at_its_ends(double mse, double expected) => Assert.Equal(expected, GaussianError.Capacity(mse), 1e-5);

    [Fact]
    public void All_formats_are_listed_with_plausible_numbers()
    {
        IReadOnlyList<FormatRow> rows = Everything.Value;

        Assert.Equal(rows.Count, rows.Select(r => (r.Kind, r.Name)).Distinct().Count());
        Assert.Empty(NumberFormats.All.Select(f => f.Id).Except(rows.Where(r => r.Kind == "number").Select(r => r.Name)));
        Assert.All(rows.Where(r => r.Capacity is not null), r => Assert.InRange(r.Capacity!.Value, 0, 1));
        Assert.All(NumberFormats.All.Where(f => f is not RawFormat), f => Assert.Contains(rows, r => r.Name == f.Id && r.GaussianMse is > 0 and < 0.7 && r.CapacityPerByte > 0));
    }

    [Theory]
    [InlineData("formats int44", "unknown number format 'int44'; did you mean 'int4'?")]
    [InlineData("formats palete(bits=3)", "unknown number format 'palete'; did you mean 'palette'?")]
    [InlineData("formats int4(blok=3)", "'int4' has no argument 'blok'; it has:")]
    [InlineData("formats int4(block", "'int4(block' is not of the form name(key=value,...)")]
    [InlineData("formats int4 --sparsity 4:2", "--sparsity '4:2' is not a pattern such as 90%, 2:4, blocks:50% or all")]
    [InlineData("formats int4 --sparsity 2:4,100%", "--sparsity '100%' is not a pattern")]
    [InlineData("formats int4 --sparsity blocks:2:4", "--sparsity 'blocks:2:4' is not a pattern")]
    public void Misspelt_formats_exit_with_2_and_a_suggestion(string commandLine, string expected)
    {
        (int code, string output, string error) = CliHarness.Run(commandLine.Split(' '));

        Assert.Equal(2, code);
        Assert.Equal("", output);
        Assert.StartsWith("modelpack formats: " + expected, error, StringComparison.Ordinal);
        Assert.Equal(1, error.Count(c => c == '\n'));
    }

    [Fact]
    public void Text_says_that_capacity_is_no_promise()
    {
        (int code, string output, _) = CliHarness.Run("formats", "int4", "--sparsity", "2:4");

        Assert.Equal(0, code);
        Assert.Contains("int4 x 2:4", output, StringComparison.Ordinal);
        Assert.Contains("a ranking prior, not a promise", output, StringComparison.Ordinal);
    }

    [Fact]
    public void Formats_of_a_recipe_are_those_it_defines_and_uses()
    {
        using var folder = new TempFolder();
        string path = Path.Combine(folder.Path, "r.json");
        File.WriteAllText(path, """
            {
              "formats": { "small": "int4(block=128)", "smaller": "small(search=mse)" },
              "passes": ["canonicalize", { "pass": "quantize", "format": "smaller", "ends": "int8" }],
              "rules": [{ "match": "a", "quantize": { "format": "nf4" } }, { "match": "b", "quantize": { "format": "small(block=64)" } }]
            }
            """);

        IReadOnlyList<FormatRow> rows = Catalogue.Formats(new FormatsRequest { Recipe = path, Sparsity = ["50%"] }).Formats;

        Assert.Equal(
            [
                "small", "smaller", "int4(block=128,scale=f16,search=mse,symmetric=true)", "int8(block=32,scale=f16,search=none,symmetric=true)", "nf4",
                "int4(block=64,scale=f16,search=none,symmetric=true)",
            ],
            rows.Where(r => r.Kind == "number").Select(r => r.Name));
        Assert.Equal(6, rows.Count(r => r.Kind == "composition"));
        Assert.Equal("int4(block=128,scale=f32,search=none,symmetric=true)", rows[0].Summary);
    }

    [Theory]
    [InlineData("""{"formats":{"a":"int44"},"passes":[]}""", "MP2106: formats.a: unknown number format 'int44'; did you mean 'int4'?")]
    [InlineData("""{"formats":{"a":"int4(blok=1)"},"passes":[]}""", "MP1022: 'int4' has no argument 'blok'")]
    [InlineData("""{"passes":["quantise"]}""", "MP2005: ")]
    public void Wrong_recipes_exit_with_1_and_name_the_file(string json, string expected)
    {
        using var folder = new TempFolder();
        string path = Path.Combine(folder.Path, "r.json");
        File.WriteAllText(path, json);

        (int code, string output, string error) = CliHarness.Run("formats", "--recipe", path);

        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith($"{path}: error {expected}", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Formats_of_a_recipe_are_stored_under_their_full_specs_and_rederive()
    {
        using var folder = new TempFolder();
        string model = folder["m.onnx"];
        File.WriteAllBytes(model, NetworkModel.Language());
        File.WriteAllText(folder["r.json"], """
            {
              "formats": { "body": "palette(bits=4,group=8)", "tail": "palette(bits=6,entries=f16)" },
              "passes": ["canonicalize", { "pass": "quantize", "format": "body", "min_elements": 64, "ends": "int8" }],
              "rules": [{ "match": "mix*", "quantize": { "format": "tail" } }]
            }
            """);

        CompileResult result = ModelCompiler.Compile(new CompileRequest { Input = model, Output = folder["m.mpack"], Recipe = folder["r.json"], Threads = 2 });

        Assert.Contains(result.Tensors, t => t.Encoding.Contains("palette(bits=4,entries=f32,group=8)", StringComparison.Ordinal));
        Assert.Contains(result.Tensors, t => t.Encoding.Contains("palette(bits=6,entries=f16,group=tensor,palette=", StringComparison.Ordinal) && t.Encoding.EndsWith("...)", StringComparison.Ordinal));
        VerifyResult verified = Verification.Verify(folder["m.mpack"], rederive: model);
        Assert.True(verified.Ok, string.Join('\n', verified.Errors));
    }

    private static double Half(double rounded) => 0.05 * Math.Pow(10, Math.Floor(Math.Log10(rounded))) / rounded;
}
