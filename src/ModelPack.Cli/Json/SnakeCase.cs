using System.Text.Json;

namespace ModelPack.Cli;

/// <summary>Property names as snake_case, with the field's words kept whole: <c>DType</c> is <c>dtype</c>.</summary>
internal sealed class SnakeCase : JsonNamingPolicy
{
    public override string ConvertName(string name) =>
        SnakeCaseLower.ConvertName(name).Replace("d_type", "dtype", StringComparison.Ordinal);
}
