using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Testing;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

/// <summary>What every registered pass promises.</summary>
public sealed class PassContractTests
{
    public static TheoryData<string> Names => [.. PassCatalog.All.Select(f => f.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Options_are_documented_and_their_defaults_are_valid(string name)
    {
        IPassFactory factory = PassCatalog.Get(name);

        Assert.Equal(factory.Options.Count, factory.Options.Select(o => o.Name).Distinct().Count());
        Assert.All(factory.Options, o =>
        {
            Assert.Matches("^[a-z][a-z0-9_]*$", o.Name);
            Assert.NotEqual("pass", o.Name);
            Assert.InRange(o.Summary.Length, 10, 200);
            PassOptions.Check(o, System.Text.Json.Nodes.JsonNode.Parse(o.Default));
        });
        IPass pass = factory.Create(PassOptions.Defaults(factory), TensorRules.None);
        Assert.Equal(name, pass.Name);
        Assert.True(pass.Ensures >= pass.Requires);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Create_with_an_unknown_option_is_MP2003(string name) =>
        Assert.Equal(ErrorCodes.UnknownPassOption, Assert.Throws<ModelPackException>(() => Pipeline.Make(name, """{"no_such_option":1}""")).Code);

    [Theory]
    [MemberData(nameof(Names))]
    public void Run_empty_models_is_legal(string name)
    {
        foreach (Model model in new[] { Ir.Model(new Graph()), Ir.Checkpoint(), Ir.Model(Ir.Graph("x", "x", [])) })
        {
            Assert.Same(model, Pipeline.Run(model, Pipeline.Make(name)));
        }
    }

    /// <summary>Passes that can work on graphs nobody can run.</summary>
    public static TheoryData<string> Uncalibrated => [.. PassCatalog.All.Select(f => f.Name).Where(n => n is not ("quantize-activations" or "smooth"))];

    [Theory]
    [MemberData(nameof(Uncalibrated))]
    public void Run_random_models_leaves_them_legal_and_their_interface_unchanged_and_is_idempotent(string name)
    {
        for (ulong seed = 0; seed < 60; seed++)
        {
            Model model = RandomModel.Make(seed);
            Model once = Guarded(seed, () => Pipeline.Run(model, Pipeline.Make(name)));
            Model twice = Guarded(seed, () => Pipeline.Make(name).Run(once, Pipeline.Context()));

            Assert.True(model.Graph.Inputs.SequenceEqual(once.Graph.Inputs), $"inputs, seed {seed}");
            Assert.True(model.Graph.Outputs.SequenceEqual(once.Graph.Outputs), $"outputs, seed {seed}");
            Assert.True(once.Graph.Text() == twice.Graph.Text(), $"not idempotent, seed {seed}");
            Assert.True(once.Graph.Initializers.Select(t => t.Encoding.Describe()).SequenceEqual(twice.Graph.Initializers.Select(t => t.Encoding.Describe())), $"not idempotent, seed {seed}");
            Assert.True(Guarded(seed, () => Pipeline.Run(model, Pipeline.Make(name))).Graph.Text() == once.Graph.Text(), $"not deterministic, seed {seed}");
        }
    }

    [Fact]
    public void Run_all_recipes_over_random_models_leaves_them_legal()
    {
        // What needs calibration data has tests of its own: random graphs cannot be run.
        foreach (string recipe in RecipeCatalog.Names.Where(r => r is not ("int4-calibrated" or "auto" or "w8a8" or "int8-only" or "fp8-static")))
        {
            for (ulong seed = 0; seed < 40; seed++)
            {
                Guarded(seed, () => new PassManager(RecipeCatalog.Get(recipe).Resolve(PassCatalog.All).CreatePasses()).Run(RandomModel.Make(seed), Pipeline.Context()));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Run_cancelled_stops(string name)
    {
        using var source = new CancellationTokenSource();
        source.Cancel();

        Assert.ThrowsAny<OperationCanceledException>(() => new PassManager([Pipeline.Make(name)]).Run(RandomModel.Make(1), Ir.Context(source.Token)));
    }

    private static Model Guarded(ulong seed, Func<Model> run)
    {
        try
        {
            return run();
        }
        catch (ModelPackException e)
        {
            throw new InvalidOperationException($"seed {seed}: {e.Message}", e);
        }
    }
}

/// <summary>Small random networks with everything passes look for: constants, no-ops, duplicates, branches, dead ends.</summary>
internal static class RandomModel
{
    public static Model Make(ulong seed)
    {
        var random = new SplitMix(seed);
        var tensors = new List<Tensor>();
        var values = new List<string> { "x" };
        Graph graph = Ir.Graph("x,cond", "y", [.. Nodes(random, values, tensors, "v", 2 + random.Below(12), depth: 2), Ir.Op(random.Flip() ? "Identity" : "Relu", values[^1], "y")], [.. tensors]);
        return Ir.Model(graph);
    }

    private static List<Node> Nodes(SplitMix random, List<string> values, List<Tensor> tensors, string prefix, int count, int depth)
    {
        var nodes = new List<Node>();
        for (int i = 0; i < count; i++)
        {
            string input = values[random.Below(values.Count)];
            string output = $"{prefix}{i}";
            Tensor weight = Ir.RandomOf(random.Below(3), $"{output}_w", random.Flip() ? [32, 64] : [64, 32]);
            switch (random.Below(depth > 0 ? 9 : 8))
            {
                case 0:
                    nodes.Add(Ir.Op("Identity", input, output));
                    break;
                case 1:
                    nodes.Add(Ir.Constant(weight.Name, weight));
                    nodes.Add(Ir.Op("MatMul", $"{input},{weight.Name}", output));
                    break;
                case 2:
                    tensors.Add(weight);
                    nodes.Add(Ir.Op("MatMul", $"{input},{weight.Name}", output));
                    break;
                case 3:
                    tensors.Add(weight);
                    nodes.Add(Ir.Op("Transpose", weight.Name, output + "_t", Ir.Ints("perm", 1, 0)));
                    nodes.Add(Ir.Op("Gemm", $"{input},{output}_t", output, Ir.Int("transB", random.Below(2))));
                    break;
                case 4:
                    tensors.Add(weight with { DType = DType.F16, Encoding = DenseEncoding.Raw(DType.F16, weight.Shape, TensorData.FromBytes(new byte[weight.Shape.ElementCount * 2])) });
                    nodes.Add(Ir.Op("Cast", weight.Name, output + "_c", Ir.Int("to", 1)));
                    nodes.Add(Ir.Op("Add", $"{input},{output}_c", output));
                    break;
                case 5:
                    nodes.Add(Ir.Op("Dropout", input, output));
                    break;
                case 6:
                    nodes.Add(Ir.Op("Transpose", input, output, Ir.Ints("perm", 0, 1)));
                    break;
                case 7:
                    tensors.Add(weight);
                    nodes.Add(Ir.Op("Shape", weight.Name, output + "_s"));
                    nodes.Add(Ir.Op("Reshape", $"{input},{output}_s", output));
                    break;
                default:
                    nodes.Add(Ir.Op("If", "cond", output, Ir.Sub("then_branch", Branch(random, values, output + "t", depth)), Ir.Sub("else_branch", Branch(random, values, $"e{depth}_", depth))));
                    break;
            }

            values.Add(output);
        }

        return nodes;
    }

    private static Graph Branch(SplitMix random, List<string> outer, string prefix, int depth)
    {
        var values = new List<string>(outer);
        var tensors = new List<Tensor>();
        List<Node> nodes = Nodes(random, values, tensors, prefix, 1 + random.Below(3), depth - 1);
        return Ir.Graph("", values[^1], [.. nodes], [.. tensors]);
    }
}
