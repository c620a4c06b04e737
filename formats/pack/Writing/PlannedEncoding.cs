namespace ModelPack.Pack;

/// <summary>A node of an encoding tree as the manifest records it.</summary>
internal abstract record PlannedEncoding(UnitSpec Unit, Shape Shape)
{
    /// <summary>A number format over streams.</summary>
    /// <param name="Unit">The format, defaults filled in.</param>
    /// <param name="Shape">Shape of the values.</param>
    /// <param name="Streams">Role and stream, in format order.</param>
    /// <param name="TileRows">Rows per chunk; 0 when chunks do not follow rows.</param>
    public sealed record Dense(UnitSpec Unit, Shape Shape, (string Role, StreamPlan Stream)[] Streams, long TileRows) : PlannedEncoding(Unit, Shape);

    /// <summary>A structure over components.</summary>
    public sealed record Structured(UnitSpec Unit, Shape Shape, PlannedEncoding[] Components) : PlannedEncoding(Unit, Shape);

    /// <summary>All streams, depth first.</summary>
    public IEnumerable<StreamPlan> AllStreams() => this switch
    {
        Dense d => d.Streams.Select(s => s.Stream),
        Structured s => s.Components.SelectMany(c => c.AllStreams()),
        _ => [],
    };

    public string Describe() => this switch
    {
        Structured { Components: [PlannedEncoding only] } => $"{Unit} > {only.Describe()}",
        Structured s => $"{Unit} > {{ {string.Join("; ", s.Components.Select(c => c.Describe()))} }}",
        _ => Unit.ToString(),
    };
}
