namespace ModelPack;

/// <summary>A number format: how values become byte streams. Registered in <c>NumberFormats</c>; stateless.</summary>
public interface INumberFormat
{
    /// <summary>The registered name, lower case, never reused for another layout.</summary>
    string Id { get; }

    /// <summary>One line for <c>modelpack formats</c>.</summary>
    string Summary { get; }

    /// <summary>Checks the arguments against the shape and fixes the layout.</summary>
    /// <exception cref="ModelPackException">MP1022 for a wrong or unknown argument.</exception>
    IBoundNumberFormat Bind(UnitSpec spec, Shape shape);
}
