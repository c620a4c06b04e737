using ModelPack.Compiler;
using ModelPack.Passes;
using ModelPack.Tests.Compiler;
using Xunit;

namespace ModelPack.Tests.Passes;

public sealed class BuiltInRecipeTests
{
    [Theory]
    [InlineData("lossless")]
    [InlineData("int8")]
    [InlineData("int4")]
    public void Run_built_in_recipe_on_small_network_leaves_it_legal(string name)
    {
        ResolvedRecipe recipe = RecipeCatalog.Get(name).Resolve(PassCatalog.All);
        Model model = Ir.Model(Ir.Graph("x", "y",
            [
                Ir.Constant("w1", Ir.RandomOf(1, "", 64, 64)),
                Ir.Op("Identity", "x", "x1"),
                Ir.Op("MatMul", "x1, w1", "h"),
                Ir.Op("Relu", "h", "h1"),
                Ir.Op("MatMul", "h1, w2", "h2"),
                Ir.Op("Relu", "h2", "h3"),
                Ir.Op("MatMul", "h3, w3", "y0"),
                Ir.Op("Identity", "y0", "y"),
            ],
            Ir.RandomOf(2, "w2", 64, 64),
            Ir.RandomOf(3, "w3", 64, 64)));
        PassContext context = Ir.Context();

        Model result = new PassManager(recipe.CreatePasses()).Run(model, context);

        Assert.Equal("MatMul(x,w1)->h; Relu(h)->h1; MatMul(h1,w2)->h2; Relu(h2)->h3; MatMul(h3,w3)->y", result.Graph.Text());
        string[] encodings = [.. result.Graph.Initializers.OrderBy(t => t.Name, StringComparer.Ordinal).Select(t => t.Encoding.Describe())];
        string Quantised(string format, string search = "none") => $"permuted(perm=1x0) > {format}(block=32,scale=f32,search={search},symmetric=true)";
        Assert.Equal(name switch
        {
            "lossless" => ["f32", "f32", "f32"],
            "int8" => [Quantised("int8"), Quantised("int8"), Quantised("int8")],
            _ => [Quantised("int8", "mse"), Quantised("int4", "mse"), Quantised("int8", "mse")],
        }, encodings);
    }
}
