using System.Globalization;

namespace ModelPack.Compiler.Planning;

/// <summary>What a product with a sparse weight takes on the machine that is planned for, beside ONNX Runtime's dense one: measured by tuning, else predicted from the measurements of its profile.</summary>
internal static class SparseTimes
{
    /// <summary>Name of ONNX Runtime's dense product where it is measured.</summary>
    private const string Dense = "ort:MatMul";

    /// <summary>What is faster than the usual choice by less is not taken: as much is chance.</summary>
    private const double LeastGain = 0.05;

    /// <summary>Steps of density in which products are measured, in percent: layers of one model share measurements.</summary>
    private const int Step = 5;

    /// <summary>The comparison; null when nothing of this kernel was measured.</summary>
    /// <param name="kernel">As plans name it.</param>
    /// <param name="structure">Of the weight.</param>
    /// <param name="format">Of its values.</param>
    /// <param name="shape">[outputs, inputs].</param>
    /// <param name="bytes">That the kernel reads of it.</param>
    /// <param name="stored">Share of the weights that is stored.</param>
    /// <param name="multiplied">Share of the dense multiplications that the kernel does.</param>
    /// <param name="usual">Whether it is taken where nothing was measured.</param>
    /// <param name="context">The plan.</param>
    public static Compared? Of(string kernel, UnitSpec structure, UnitSpec format, (int Outputs, int Inputs) shape, long bytes, double stored, double multiplied, bool usual, PlanContext context)
    {
        long rows = context.Options.Rows;
        if (context.Options.Times is IProductTimes times)
        {
            var candidate = new ProductCandidate(kernel, format, shape.Outputs, shape.Inputs, rows) { Structure = structure, SparsityPercent = Percent(stored) };
            if (times.Seconds(candidate) is double sparse && times.Seconds(new ProductCandidate(Dense, UnitSpec.Parse("f32"), shape.Outputs, shape.Inputs, rows)) is double dense)
            {
                bool taken = usual ? sparse * (1 - LeastGain) < dense : sparse < dense * (1 - LeastGain);
                times.Chosen(taken ? kernel : NodeChoice.Expand, usual ? kernel : NodeChoice.Expand);
                return new Compared(sparse / dense, taken, string.Create(CultureInfo.InvariantCulture, $"measured here with {rows} rows of activations"));
            }
        }

        if (context.Options.Profile is not HardwareProfile profile || !CostModel.Knows(profile, kernel) || !CostModel.Knows(profile, NodeChoice.Expand))
        {
            return null;
        }

        long weights = (long)shape.Outputs * shape.Inputs;
        double own = CostModel.Product(profile, kernel, shape.Outputs, shape.Inputs, bytes, rows, 0, context.WeightBytes, multiplied).Seconds;
        double theirs = CostModel.Product(profile, NodeChoice.Expand, shape.Outputs, shape.Inputs, weights * sizeof(float), rows, 0, Math.Max(context.WeightBytes, weights * sizeof(float))).Seconds;
        return new Compared(own / theirs, own < theirs, $"on {profile.Name}, predicted from its measurements");
    }

    /// <summary>Weights that are not stored, in steps, neither none nor all.</summary>
    private static int Percent(double stored) => Math.Clamp((int)Math.Round(100 * (1 - stored) / Step, MidpointRounding.AwayFromZero) * Step, Step, 100 - Step);

    /// <summary>A sparse product beside the dense one.</summary>
    /// <param name="Ratio">Its time over that of the dense product.</param>
    /// <param name="Taken">Whether it is to be taken.</param>
    /// <param name="Source">Where the times are from, for reports.</param>
    internal sealed record Compared(double Ratio, bool Taken, string Source);
}
