using System.Runtime.InteropServices;
using ModelPack.Compiler;
using ModelPack.Pack;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

/// <summary>Scales and zero points fitted to the weights alone.</summary>
public sealed class HalfQuadraticTests
{
    public static TheoryData<string> Formats => ["int2(block=32,symmetric=false,zeros=float)", "int4(block=128,symmetric=false)", "int3(block=16)", "int4(block=64,scale=bf16)", "mxfp4", "nf4", "nvfp4", "float(exponent=3,mantissa=2,block=32,scale=e8m0)"];

    [Theory]
    [MemberData(nameof(Formats))]
    public void Encode_fitted_isNeverWorseThanTheEncoder_byItsOwnMeasure(string format)
    {
        const int n = 37;
        const int k = 200;
        UnitSpec spec = AlgorithmCases.Bound(format, n, k);
        float[] weights = AlgorithmCases.Weights(n, k);
        double[] Errors(ScaleChoice scales) => [.. Pipeline.Values(Encode(weights, n, k, spec, scales).Encoding).Select((q, i) => Math.Abs((double)q - weights[i]))];
        double[] encoder = Errors(ScaleChoice.Encoder);

        Assert.True(Errors(ScaleChoice.Squares).Sum(e => e * e) <= encoder.Sum(e => e * e) * (1 + 1e-4));
        Assert.True(Errors(ScaleChoice.Robust).Sum(e => Math.Pow(e, 0.75)) <= encoder.Sum(e => Math.Pow(e, 0.75)) * (1 + 1e-4));
    }

    [Fact]
    public void Encode_fitted_asymmetric_isMuchBetter()
    {
        const int n = 64;
        const int k = 128;
        float[] weights = AlgorithmCases.Weights(n, k);
        double Error(string format, ScaleChoice scales) => Encode(weights, n, k, AlgorithmCases.Bound(format, n, k), scales).RelativeError;
        const string two = "int2(block=32,symmetric=false,zeros=float)";

        Assert.True(Error(two, ScaleChoice.Squares) < 0.85 * Error(two, ScaleChoice.Encoder));
        Assert.True(Error(two, ScaleChoice.Squares) < 0.95 * Error("int2(block=32,symmetric=false,search=mse)", ScaleChoice.Encoder));
        Assert.True(Error(two, ScaleChoice.Robust) < 0.95 * Error(two, ScaleChoice.Encoder));
    }

    [Theory]
    [InlineData("int3(block=16,symmetric=false,zeros=float)", true)]
    [InlineData("int3(block=16,symmetric=false,zeros=float)", false)]
    [InlineData("nf4", true)]
    [InlineData("nf4", false)]
    public void Encode_fitted_rowsDoNotDependOnTheRowsBesideThem(string format, bool robust)
    {
        // 37 rows: lanes of vectors and single rows; a row by itself: single rows only.
        const int n = 37;
        const int k = 72;
        float[] weights = AlgorithmCases.Weights(n, k);
        ScaleChoice scales = robust ? ScaleChoice.Robust : ScaleChoice.Squares;
        float[] all = Pipeline.Values(Encode(weights, n, k, AlgorithmCases.Bound(format, n, k), scales).Encoding);
        for (int r = 0; r < n; r++)
        {
            float[] row = weights.AsSpan(r * k, k).ToArray();
            Assert.Equal(all.AsSpan(r * k, k).ToArray(), Pipeline.Values(Encode(row, 1, k, AlgorithmCases.Bound(format, 1, k), scales).Encoding));
        }
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(3e-40f)]
    [InlineData(1e37f)]
    [InlineData(-2.5f)]
    public void Encode_fitted_oddBlocks_decodeToFiniteValuesNearby(float value)
    {
        float[] weights = new float[64];
        weights.AsSpan().Fill(value);
        weights[3] = 0;
        foreach (ScaleChoice scales in new[] { ScaleChoice.Squares, ScaleChoice.Robust })
        {
            float[] decoded = Pipeline.Values(Encode(weights, 1, 64, AlgorithmCases.Bound("int4(block=32,symmetric=false,zeros=float)", 1, 64), scales).Encoding);
            Assert.All(decoded.Zip(weights), p => Assert.InRange(Math.Abs((double)p.First - p.Second), 0, 0.1 * Math.Abs((double)value) + 1e-38));
        }
    }

    [Theory]
    [InlineData("mse")]
    [InlineData("hqq")]
    public void Quantize_withoutData_encodesAtOnce_andPlansWithoutLooking(string scales)
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 128, 64)));
        string options = $$"""{"format":"int4(zeros=float)","symmetric":false,"scales":"{{scales}}","search":"none","min_elements":1}""";
        Tensor encoded = Pipeline.Run(model, Pipeline.Make("quantize", options)).Initializer("w");
        Tensor nearest = Pipeline.Run(model, Pipeline.Make("quantize", options.Replace(scales, "encoder", StringComparison.Ordinal))).Initializer("w");
        double Error(Tensor t) => Pipeline.Values(t).Zip(Pipeline.Values(model.Initializer("w")), (a, b) => Math.Pow(Math.Abs(a - b), scales == "mse" ? 2 : 0.75)).Sum();

        Assert.Contains("int4(block=32", encoded.Encoding.Describe(), StringComparison.Ordinal);
        Assert.True(Error(encoded) < Error(nearest));
    }

    [Fact]
    public void Quantize_formatWithoutScalesPerBlock_isMP2217()
    {
        Model model = Ir.Model(Ir.Graph("x", "y", [Ir.Op("MatMul", "x,w", "y")], Ir.Random("w", 128, 64)));

        ModelPackException error = Assert.Throws<ModelPackException>(() => Pipeline.Run(model, Pipeline.Make("quantize", """{"format":"posit8","scales":"hqq","min_elements":1}""")));
        Assert.Equal(ErrorCodes.AlgorithmCannotEncode, error.Code);
        Assert.Contains("'w': codes of 'posit8", error.Line, StringComparison.Ordinal);
    }

    private static EncodedWeight Encode(float[] weights, int n, int k, UnitSpec spec, ScaleChoice scales)
    {
        Tensor tensor = Tensor.Raw("w", DType.F32, new Shape(n, k), TensorData.FromBytes(MemoryMarshal.AsBytes(weights.AsSpan()).ToArray()));
        var context = new PassContext { OpenValues = EncodingValues.Open, Threads = 1 };
        using IPreparedAlgorithm nearest = WeightAlgorithms.Nearest.Prepare(null, AlgorithmOptions.None, 1, default);
        return WeightEncoder.Encode(tensor.Encoding, spec, [new RowGroup(nearest, null)], scales, context);
    }
}
