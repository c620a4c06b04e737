using System.Text.Json.Nodes;
using ModelPack.Compiler;
using ModelPack.Numbers;
using ModelPack.Pack;
using ModelPack.Passes;

namespace ModelPack.Tests.Passes;

/// <summary>Passes with the real number formats and structures behind them.</summary>
internal static class Pipeline
{
    /// <summary>A registered pass with options given as JSON.</summary>
    public static IPass Make(string name, string options = "{}", params TensorRule[] rules)
    {
        IPassFactory factory = PassCatalog.Get(name);
        return factory.Create(PassOptions.Bind(factory, (JsonObject)JsonNode.Parse(options)!), new TensorRules([.. rules]));
    }

    public static PassContext Context(IConstantEvaluator? evaluator = null, int threads = 1) => new()
    {
        OpenValues = EncodingValues.Open,
        BindFormat = NumberFormats.Bind,
        ValidateStructure = s => ModelPack.Structures.Structures.Get(s.Structure.Id).Validate(s),
        ChooseFormat = (format, source) => WithScale(format, IntBlockScales.FitsHalf(EncodingValues.Open(source), WithScale(format, "f16")) ? "f16" : "f32"),
        ConstantEvaluator = evaluator,
        Threads = threads,
    };

    public static Model Run(Model model, params IPass[] passes) => Run(model, Context(), passes);

    public static Model Run(Model model, PassContext context, params IPass[] passes) => new PassManager([Make("canonicalize"), .. passes]).Run(model, context);

    /// <summary>All values of a tensor as f32, row-major.</summary>
    public static float[] Values(Tensor tensor) => Values(tensor.Encoding);

    public static float[] Values(WeightEncoding encoding)
    {
        IValueReader reader = EncodingValues.Open(encoding);
        float[] values = new float[encoding.Shape.ElementCount];
        reader.ReadRows(0, (int)encoding.Shape.Rows, values);
        return values;
    }

    public static Tensor Initializer(this Model model, string name) => model.Graph.Initializers.Single(t => t.Name == name);

    private static UnitSpec WithScale(UnitSpec format, string scale) => new(format.Id, [.. format.Arguments.SetItem("scale", scale).Select(a => (a.Key, a.Value))]);
}
